import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_OPT_OUT,
  inLanguage,
  isAmong,
  mayAnswer,
  normalWord,
  optOutWord,
  type OptOutSettings,
} from '../../src/core/opt-out.js';
import { CHANNELS, LIMITS, utf8Length } from '../../src/core/template.js';

type Meaning = 'out' | 'in' | 'nothing';

function meaning(text: string, languages: readonly string[] = [], settings = DEFAULT_OPT_OUT): Meaning {
  const word = optOutWord(text, settings, languages);
  if (word === null) return 'nothing';
  return word.out ? 'out' : 'in';
}

describe('what people write', () => {
  it.each<[language: string, out: readonly string[], back: readonly string[], nothing: readonly string[]]>([
    [
      'en_US',
      ['stop', 'STOPALL', 'Unsubscribe', 'cancel', 'END', 'quit', 'opt-out', 'revoke'],
      ['START', 'unstop'],
      [],
    ],
    ['de_DE', ['Abmelden', 'ABBESTELLEN', 'aufhoren', 'Stopp!'], ['Anmelden'], ['bitte nicht stoppen', 'Ende gut']],
    ['es_ES', ['BAJA', 'parar', 'Darme de baja'], ['alta', 'Iniciar'], ['trabaja', 'la parte baja']],
    ['fr_FR', ['Arrêt', 'arreter', 'ARRÊTEZ !', 'désinscription'], ["m'abonner", 'Démarrer'], ['sans arrêt']],
    ['pt_BR', ['SAIR', 'cancelar inscricao', 'Descadastrar'], ['começar', 'VOLTAR'], ['quero sair hoje']],
    ['it_IT', ['Basta', 'disiscrivimi'], ['iscrivimi'], ['fine', 'Va bene']],
    ['nl_NL', ['Afmelden', 'STOPPEN'], ['aanmelden'], ['niet stoppen']],
    ['pl_PL', ['Rezygnuję', 'wypisz mnie'], ['Wznów', 'wznow'], ['koniec tygodnia']],
    ['tr_TR', ['İPTAL', 'IPTAL', 'iptal', 'ÇIKIŞ', 'cikis', 'ret'], ['BAŞLA', 'abone ol'], ['ne zaman']],
    ['id_ID', ['Berhenti'], ['MULAI'], ['jangan berhenti']],
    ['vi_VN', ['NGỪNG', 'Hủy đăng ký', 'huỷ đăng ký', 'huy dang ky'], ['bắt đầu'], ['dung', 'Huy', 'Đúng']],
    ['th_TH', ['หยุด', 'ยกเลิก'], ['เริ่ม'], ['หยด']],
    ['ja_JP', ['停止', '配信停止', 'ストップ', 'ｽﾄｯﾌﾟ', '解除。'], ['再開'], ['停止しないで', 'ストッフ']],
    ['zh_CN', ['退订', '退訂', 'TD', 'ｔｄ', 'T'], ['开始'], ['退订多少钱']],
    ['ko_KR', ['수신거부', '수신 거부', '그만'], ['시작'], ['그만큼']],
    ['ar_AR', ['إيقاف', 'ايقاف', 'إيقـــاف', 'إِيقَاف', '\u200Fإيقاف\u200F', 'الغاء الاشتراك'], ['ابدأ', 'ابدا'], ['لا']],
    ['he_IL', ['הסר', 'הָסֵר'], ['התחל'], ['שלום']],
    ['hi_IN', ['रोकें', 'बंद करें'], ['शुरू'], ['रोक']],
    ['el_GR', ['ΣΤΟΠ', 'στοπ', 'ΔΙΑΓΡΑΦΗ'], ['έναρξη', 'ΕΝΑΡΞΗ'], ['όχι']],
    ['ru_RU', ['СТОП', 'отписаться'], ['Старт'], ['стоп-кран']],
    ['uk_UA', ['відписатися'], ['почати'], ['так']],
    ['cs_CZ', ['odhlasit', 'ZRUŠIT'], ['přihlásit'], ['ne']],
    ['sv_SE', ['Avsluta'], ['starta'], ['nej']],
    ['hu_HU', ['ÁLLJ'], ['feliratkozás'], ['nem']],
  ])('%s', (language, out, back, nothing) => {
    const all = [...out, ...back, ...nothing];
    const meant = [...out.map(() => 'out'), ...back.map(() => 'in'), ...nothing.map(() => 'nothing')];
    expect(all.map((text) => `${text}: ${meaning(text, [language])}`)).toEqual(
      all.map((text, index) => `${text}: ${meant[index] ?? ''}`),
    );
  });

  it.each([
    'STOP',
    ' stop\n',
    'Stop.',
    '"STOP"',
    '¡stop!',
    'STOP!!!!!!!!!!!!',
    'stop 🛑',
    '✋🏽 STOP ✋🏽',
    'stop ❤️',
    '👩‍👩‍👧 stop',
    'ＳＴＯＰ',
    '𝐒𝐓𝐎𝐏',
    'ⓢⓣⓞⓟ',
    's\u200Bt\u200Bo\u200Bp',
    'stop\u00A0',
    'st\u00ADop',
    'stóp',
    'Sto\u0301p',
    'stop all',
    'OPT-OUT',
    'opt_out',
    `stop${'!'.repeat(1900)}`,
  ])('as an opt-out in every language: %j', (text) => {
    expect(['en_US', 'de_DE', 'th_TH', 'xx_XX'].map((language) => meaning(text, [language]))).toEqual(
      Array(4).fill('out'),
    );
    expect(meaning(text)).toBe('out');
  });

  it.each([
    '',
    ' ',
    '🛑',
    '.',
    'please stop by',
    'Stop it',
    "Don't stop",
    'stopp', // not in English
    'bus stop',
    'S T O P',
    'stops',
    'abmelden',
    'restart',
    'start-up',
    '0',
    '\u0000',
    '\uD800',
    `stop ${'x'.repeat(10)}`,
    `stop${'!'.repeat(2000)}`,
    'stop '.repeat(100_000),
  ])('as nothing of that kind: %j', (text) => {
    expect(meaning(text, ['en_US'])).toBe('nothing');
  });

  it('tells in which language it was, that of the person before English', () => {
    const language = (text: string, ...languages: string[]): string | undefined =>
      optOutWord(text, DEFAULT_OPT_OUT, languages)?.language;
    expect(language('Stop', 'de_DE')).toBe('de');
    expect(language('Stop', 'ja_JP')).toBe('en');
    expect(language('Abmelden', 'fr_FR', 'de_AT')).toBe('de');
    expect(language('stop', 'zh-Hans')).toBe('en');
  });

  it('counts the words of one country only for its own language, and only those of the settings', () => {
    const settings: OptOutSettings = {
      out: { en: ['Nope'], de_AT: ['aus is'], de: ['Schluß'] },
      in: { en: ['again'], de: ['nope'] },
      confirmation: null,
    };
    const says = (text: string, language: string): Meaning => meaning(text, [language], settings);
    expect(says('AUS IS!', 'de_DE')).toBe('out');
    expect(says('SCHLUSS', 'de_AT')).toBe('out');
    expect(says('schluss', 'nl_NL')).toBe('nothing');
    expect(says('nope', 'nl_NL')).toBe('out');
    expect(says('nope', 'de_DE')).toBe('out');
    expect(says('stop', 'de_DE')).toBe('nothing');
    expect(says('Again', 'de_DE')).toBe('in');
  });
});

describe('the words that come with pagecast', () => {
  const LANGUAGES = Object.keys(DEFAULT_OPT_OUT.out);
  const words = LANGUAGES.flatMap((language) => [
    ...(DEFAULT_OPT_OUT.out[language] ?? []).map((word) => ({ language, word, means: 'out' })),
    ...(DEFAULT_OPT_OUT.in[language] ?? []).map((word) => ({ language, word, means: 'in' })),
  ]);

  it('are there for each language, with a confirmation', () => {
    expect(Object.keys(DEFAULT_OPT_OUT.in).sort()).toEqual([...LANGUAGES].sort());
    expect(Object.keys(DEFAULT_OPT_OUT.confirmation ?? {}).sort()).toEqual([...LANGUAGES].sort());
  });

  it('never mean both', () => {
    const wrong = words.filter(({ language, word, means }) => meaning(word, [language]) !== means);
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(DEFAULT_OPT_OUT.confirmation ?? {}))(
    '%s: the confirmation fits every channel, and names a word that brings messages back',
    (language, text) => {
      for (const channel of CHANNELS) {
        const { max, unit } = LIMITS[channel].text;
        expect(unit === 'bytes' ? utf8Length(text) : text.length).toBeLessThanOrEqual(max);
      }
      const back = [...(DEFAULT_OPT_OUT.in[language] ?? []), ...(DEFAULT_OPT_OUT.in['en'] ?? [])].map(normalWord);
      const told = normalWord(text);
      expect(back.filter((word) => told.includes(word))).not.toEqual([]);
    },
  );

  const signs = fc.array(fc.constantFrom(' ', '\n', '!', '.', '…', '"', '¿', '🛑', '❤️', '\u200F', '\u00A0'), {
    maxLength: 8,
  });
  const written = fc.constantFrom<(text: string) => string>(
    (text) => text,
    (text) => text.toUpperCase(),
    (text) => text.toLowerCase(),
    (text) => text.normalize('NFD'),
    (text) => text.normalize('NFKC'),
    (text) => text.replace(/[!-~]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0xfee0)),
  );

  it('count whatever stands around them, and however their letters are written', () => {
    fc.assert(
      fc.property(fc.constantFrom(...words), signs, signs, written, ({ language, word, means }, before, after, as) => {
        expect(meaning(`${before.join('')}${as(word)}${after.join('')}`, [language])).toBe(means);
      }),
      { numRuns: 2000 },
    );
  });

  it('count only alone', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...words),
        fc.constantFrom('please', 'bitte', '7', 'ok'),
        ({ language, word }, other) => {
          expect(meaning(`${word} ${other}`, [language])).toBe('nothing');
          expect(meaning(`${other} ${word}`, [language])).toBe('nothing');
        },
      ),
    );
  });
});

describe('normalWord', () => {
  it.each([
    ['¡Información!', 'informacion'],
    ['Opt-Out 🛑', 'opt out'],
    ['9–5?', '9 5'],
    ['STRASSE', normalWord('straße')],
    ['ŁÓDŹ', 'lodz'],
    ['SMØRREBRØD', 'smorrebrod'],
    ['👍', '👍'],
    ['👍\uFE0F', '👍'],
    [' ? ', '?'],
    ['C++', 'c'],
    ['\u200B', ''],
  ])('%j → %j', (text, normal) => {
    expect(normalWord(text)).toBe(normal);
  });

  it('takes any text, and changes nothing the second time', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const normal = normalWord(text);
        expect(normalWord(normal)).toBe(normal);
      }),
      { numRuns: 2000 },
    );
  });

  it('is no word of nothing', () => {
    expect(isAmong('', ['', ' '])).toBe(false);
  });
});

describe('inLanguage', () => {
  it.each<[language: string | null, entries: Record<string, string>, found: string | null]>([
    ['de_DE', { en: 'e', de: 'd', de_DE: 'D' }, 'D'],
    ['de_AT', { en: 'e', de: 'd', de_DE: 'D' }, 'd'],
    ['de_AT', { en: 'e', de_DE: 'D' }, 'D'],
    ['de', { en: 'e', de_DE: 'D' }, 'D'],
    ['fr_FR', { de: 'd', en: 'e' }, 'e'],
    ['fr_FR', { de: 'd', en_GB: 'E' }, 'E'],
    ['fr_FR', { de: 'd', it: 'i' }, 'd'],
    [null, { de: 'd', en: 'e' }, 'e'],
    [null, {}, null],
    ['__proto__', { de: 'd' }, 'd'],
  ])('%s of %j → %s', (language, entries, found) => {
    expect(inLanguage(entries, language)).toBe(found);
  });
});

describe('mayAnswer', () => {
  it.each<[optedOutAt: number | null, answersAt: number | null, answer: boolean, confirmation: boolean]>([
    [null, null, true, true],
    [null, 5, true, true],
    [5, null, false, false],
    [5, 4, false, false],
    [5, 5, false, true],
    [5, 6, true, true],
    [0, 0, false, true],
    [0, 1, true, true],
  ])('opted out at %s, answering %s', (optedOutAt, answersAt, answer, confirmation) => {
    expect(mayAnswer(optedOutAt, answersAt, false)).toBe(answer);
    expect(mayAnswer(optedOutAt, answersAt, true)).toBe(confirmation);
  });
});
