/**
 * Opting out: the words by which people ask not to be written to any more, and what is sent to them all the same. A word
 * counts only when it is the whole message, as carriers have it for SMS, so that "please stop by" stops nothing.
 */

/** `keyword`: they wrote one. `platform`: its webhook said so. `service`: it refused a message for it. `person`: somebody at a terminal. */
export type OptOutSource = 'keyword' | 'platform' | 'service' | 'person' | 'import';

/** Somebody opted out of an account's messages, or back in. */
export interface OptOutChange {
  /** The `senderKey` of the account. */
  account: string;
  userId: string;
  /** Milliseconds since 1970, UTC: when they did so, not when it was heard. */
  at: number;
  out: boolean;
  source: OptOutSource;
}

/** The name of the continuous campaigns that hold confirmations of opt-outs; no flow can be called so. */
export const OPT_OUT_FLOW = 'opt-out';

export interface OptOutSettings {
  /** Words by language (`de`, or `de_AT` for one country); those of `en` count in every language. */
  out: Readonly<Record<string, readonly string[]>>;
  /** Words by which people opt back in. */
  in: Readonly<Record<string, readonly string[]>>;
  /** What somebody is told once who has opted out, by language; null for nothing. */
  confirmation: Readonly<Record<string, string>> | null;
}

/**
 * Left out are words that are as often an answer to a question: "fine" ends something in Italian, "dung" and "huy" (to stop,
 * to cancel) are names in Vietnamese once their accents are gone.
 */
export const DEFAULT_OPT_OUT: OptOutSettings = {
  out: {
    en: ['stop', 'stopall', 'stop all', 'unsubscribe', 'cancel', 'end', 'quit', 'optout', 'opt out', 'revoke'],
    ar: ['إيقاف', 'توقف', 'أوقف', 'قف', 'إلغاء', 'إلغاء الاشتراك'],
    cs: ['stop', 'konec', 'odhlásit', 'odhlásit se', 'zrušit', 'ukončit'],
    da: ['stop', 'stopp', 'afmeld', 'afmelding', 'afslut', 'frameld'],
    de: ['stop', 'stopp', 'abmelden', 'abbestellen', 'austragen', 'aufhören', 'ende', 'keine nachrichten'],
    el: ['στοπ', 'σταμάτα', 'σταματήστε', 'διακοπή', 'διαγραφή', 'απεγγραφή'],
    es: ['stop', 'parar', 'pare', 'alto', 'detener', 'baja', 'darme de baja', 'dar de baja', 'cancelar'],
    fi: ['stop', 'seis', 'lopeta', 'peru tilaus', 'peruuta tilaus'],
    fr: ['stop', 'arrêt', 'arrêter', 'arrêtez', 'désabonner', 'me désabonner', 'désinscrire', 'désinscription'],
    he: ['עצור', 'הפסק', 'הסר', 'הסר אותי', 'הסרה', 'ביטול'],
    hi: ['रोकें', 'रोको', 'बंद करें', 'बंद करो', 'सदस्यता रद्द करें'],
    hu: ['stop', 'állj', 'leiratkozás', 'leiratkozom'],
    id: ['stop', 'berhenti', 'hentikan', 'batal', 'berhenti berlangganan'],
    it: ['stop', 'ferma', 'fermare', 'basta', 'annulla', 'disiscrivi', 'disiscrivimi', 'cancellami'],
    ja: ['停止', '配信停止', 'ストップ', '解除', '配信解除', '登録解除', '退会', 'やめて'],
    ko: ['중지', '정지', '그만', '해지', '수신거부', '수신 거부', '구독취소', '구독 취소'],
    ms: ['berhenti', 'henti', 'batal', 'batal langganan', 'henti langganan'],
    nb: ['stop', 'stopp', 'slutt', 'avslutt', 'avmeld', 'meld av'],
    nl: ['stop', 'stoppen', 'afmelden', 'uitschrijven', 'opzeggen', 'einde'],
    pl: ['stop', 'koniec', 'zatrzymaj', 'wypisz', 'wypisz mnie', 'rezygnuję', 'rezygnacja', 'anuluj'],
    pt: ['stop', 'parar', 'pare', 'sair', 'cancelar', 'cancelar inscrição', 'descadastrar', 'remover'],
    ro: ['stop', 'oprește', 'opriți', 'dezabonare', 'mă dezabonez', 'renunț', 'anulare'],
    ru: ['стоп', 'остановить', 'прекратить', 'отписаться', 'отписка', 'отпишите меня', 'отмена'],
    sv: ['stop', 'stopp', 'stoppa', 'sluta', 'avsluta', 'avregistrera'],
    th: ['หยุด', 'ยกเลิก', 'เลิกติดตาม', 'เลิกรับข่าวสาร', 'ไม่รับข้อความ'],
    tr: ['dur', 'durdur', 'iptal', 'çık', 'çıkış', 'ret', 'üyelikten çık', 'aboneliği iptal et'],
    uk: ['стоп', 'зупинити', 'припинити', 'відписатися', 'відписка', 'скасувати'],
    vi: ['dừng lại', 'ngừng', 'ngừng nhận tin', 'hủy đăng ký', 'từ chối nhận tin'],
    // "TD" and "T" are what text messages in China ask for.
    zh: ['停止', '退订', '退訂', '取消', '取消订阅', '取消訂閱', 'td', 't'],
  },
  in: {
    en: ['start', 'unstop', 'subscribe', 'resume', 'optin', 'opt in'],
    ar: ['ابدأ', 'بدء', 'اشترك', 'اشتراك', 'استئناف'],
    cs: ['start', 'přihlásit', 'přihlásit se', 'obnovit'],
    da: ['start', 'tilmeld', 'tilmelding'],
    de: ['start', 'starten', 'anmelden', 'abonnieren'],
    el: ['έναρξη', 'εγγραφή', 'ξεκίνα'],
    es: ['iniciar', 'empezar', 'comenzar', 'alta', 'darme de alta', 'suscribirme'],
    fi: ['aloita', 'tilaa', 'jatka'],
    fr: ['démarrer', 'commencer', 'reprendre', 'abonner', "m'abonner"],
    he: ['התחל', 'הצטרף', 'הרשמה'],
    hi: ['शुरू', 'शुरू करें', 'शुरू करो'],
    hu: ['start', 'kezdés', 'feliratkozás', 'feliratkozom'],
    id: ['mulai', 'langganan', 'berlangganan'],
    it: ['inizia', 'avvia', 'iscrivi', 'iscrivimi'],
    ja: ['開始', '再開', '配信再開', '登録', 'スタート'],
    ko: ['시작', '재개', '구독', '수신동의', '수신 동의'],
    ms: ['mula', 'langgan'],
    nb: ['start', 'meld på', 'abonner'],
    nl: ['start', 'starten', 'aanmelden', 'inschrijven'],
    pl: ['start', 'wznów', 'zapisz', 'zapisz mnie'],
    pt: ['iniciar', 'começar', 'voltar', 'inscrever'],
    ro: ['start', 'pornește', 'reia', 'abonare'],
    ru: ['старт', 'начать', 'подписаться', 'возобновить'],
    sv: ['start', 'starta', 'prenumerera'],
    th: ['เริ่ม', 'สมัคร', 'เริ่มรับข่าวสาร'],
    tr: ['başla', 'başlat', 'abone ol'],
    uk: ['старт', 'почати', 'підписатися', 'відновити'],
    vi: ['bắt đầu', 'đăng ký', 'đăng ký lại'],
    zh: ['开始', '開始', '订阅', '訂閱', '恢复', '恢復'],
  },
  confirmation: {
    en: 'You will get no more messages from us. To get them again, write START.',
    ar: 'لن تصلك أي رسائل أخرى منا. لتلقيها مجددًا، اكتب: ابدأ',
    cs: 'Už vám nebudeme posílat žádné zprávy. Chcete-li je znovu dostávat, napište START.',
    da: 'Du får ikke flere beskeder fra os. Skriv START for at få dem igen.',
    de: 'Sie erhalten keine Nachrichten mehr von uns. Um wieder welche zu erhalten, schreiben Sie START.',
    el: 'Δεν θα λαμβάνετε άλλα μηνύματα από εμάς. Για να τα λαμβάνετε ξανά, γράψτε ΕΝΑΡΞΗ.',
    es: 'No recibirá más mensajes nuestros. Para volver a recibirlos, escriba INICIAR.',
    fi: 'Et saa meiltä enää viestejä. Jos haluat niitä taas, kirjoita ALOITA.',
    fr: 'Vous ne recevrez plus de messages de notre part. Pour en recevoir à nouveau, écrivez REPRENDRE.',
    he: 'לא יישלחו אליך עוד הודעות מאיתנו. כדי לקבל אותן שוב, יש לכתוב: התחל',
    hi: 'अब आपको हमारी ओर से कोई संदेश नहीं मिलेगा। फिर से पाने के लिए "शुरू" लिखें।',
    hu: 'Nem küldünk Önnek több üzenetet. Ha újra szeretne kapni, írja be: START.',
    id: 'Anda tidak akan menerima pesan lagi dari kami. Untuk menerimanya kembali, tulis MULAI.',
    it: 'Non riceverà più messaggi da noi. Per riceverli di nuovo, scriva INIZIA.',
    ja: '今後メッセージはお送りしません。再開するには「再開」とお送りください。',
    ko: '더 이상 메시지를 보내지 않습니다. 다시 받으시려면 "시작"이라고 보내 주세요.',
    ms: 'Anda tidak akan menerima mesej lagi daripada kami. Untuk menerimanya semula, tulis MULA.',
    nb: 'Du får ikke flere meldinger fra oss. Skriv START for å få dem igjen.',
    nl: 'U krijgt geen berichten meer van ons. Wilt u ze weer ontvangen, schrijf dan START.',
    pl: 'Nie będziesz już otrzymywać od nas wiadomości. Aby znów je otrzymywać, napisz START.',
    pt: 'Não receberá mais mensagens nossas. Para voltar a recebê-las, escreva INICIAR.',
    ro: 'Nu veți mai primi mesaje de la noi. Pentru a le primi din nou, scrieți START.',
    ru: 'Вы больше не будете получать от нас сообщений. Чтобы получать их снова, напишите СТАРТ.',
    sv: 'Du får inga fler meddelanden från oss. Skriv START för att få dem igen.',
    th: 'คุณจะไม่ได้รับข้อความจากเราอีก หากต้องการรับอีกครั้ง พิมพ์ว่า เริ่ม',
    tr: 'Artık bizden mesaj almayacaksınız. Yeniden almak için BAŞLA yazın.',
    uk: 'Ви більше не отримуватимете від нас повідомлень. Щоб отримувати їх знову, напишіть СТАРТ.',
    vi: 'Bạn sẽ không nhận được tin nhắn nào từ chúng tôi nữa. Để nhận lại, hãy viết BẮT ĐẦU.',
    zh: '您将不会再收到我们的消息。如需重新接收，请回复“开始”。',
  },
};

/** In UTF-16 units; longer than that nobody writes a keyword, however many exclamation marks follow it. */
const LONGEST_MESSAGE = 2000;

/** Accents and other marks above and below letters of Latin, Greek, Cyrillic, Hebrew and Arabic; the last letter lengthens. */
const DIACRITICS = /[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]+/g;
/** What is not seen by itself: joiners, marks of direction, how an emoji is to be drawn. */
const UNSEEN = /[\p{Cf}\ufe00-\ufe0f\u20e3]+/gu;
/** Letters with a stroke, which Unicode takes for letters of their own. */
const STROKES: Readonly<Record<string, string>> = { đ: 'd', ł: 'l', ø: 'o' };

/**
 * What a message is compared by with words: without capitals, accents, the width of its letters, and all that is neither a
 * letter nor a digit. "¡Información!" becomes "informacion", "Opt-Out 🛑" "opt out". Vowel signs of Thai, Hindi and the like
 * stay, because they make other words. A message of signs alone stays as it is.
 * @returns '' for one that is empty or too long to be a keyword
 */
export function normalWord(text: string): string {
  if (text.length > LONGEST_MESSAGE) return '';
  const bare = text.normalize('NFKD').replace(UNSEEN, '').replace(DIACRITICS, '');
  // By way of capitals, "ß" and "SS", "ı" and "I", "ς" and "Σ" become the same.
  const folded = bare.toUpperCase().toLowerCase();
  const plain = folded.replace(/[đłø]/g, (letter) => STROKES[letter] ?? letter);
  const words = plain.replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ').trim();
  return words === '' ? plain.replace(/\s+/g, ' ').trim() : words;
}

const normalSets = new WeakMap<readonly string[], ReadonlySet<string>>();

/** Whether a text, as `normalWord` gives it, is one of these words. */
export function isAmong(normal: string, words: readonly string[]): boolean {
  let set = normalSets.get(words);
  if (set === undefined) {
    set = new Set(words.map(normalWord));
    normalSets.set(words, set);
  }
  return normal !== '' && set.has(normal);
}

/** `de_AT` → `de` */
function baseLanguage(language: string): string {
  return language.split(/[_-]/)[0]?.toLowerCase() ?? '';
}

/**
 * Whether a message is one by which people opt out, or back in.
 * @param languages in which the person may be writing, such as that of the template they were last sent; English counts always
 * @returns with the language of the word; null for every other message
 */
export function optOutWord(
  text: string,
  settings: OptOutSettings,
  languages: readonly string[],
): { out: boolean; language: string } | null {
  const normal = normalWord(text);
  if (normal === '') return null;
  for (const [words, out] of [[settings.out, true] as const, [settings.in, false] as const]) {
    for (const base of [...languages.map(baseLanguage), 'en']) {
      for (const [language, list] of Object.entries(words)) {
        if (baseLanguage(language) === base && isAmong(normal, list)) return { out, language };
      }
    }
  }
  return null;
}

/**
 * The entry for a language: its own, that of the language without a country, that of another country, English, or the first.
 * @returns null when there is none at all
 */
export function inLanguage<T>(entries: Readonly<Record<string, T>>, language: string | null): T | null {
  const keys = Object.keys(entries);
  for (const wanted of [...(language === null ? [] : [language]), 'en']) {
    const base = baseLanguage(wanted);
    const key = [wanted, base].find((one) => keys.includes(one)) ?? keys.find((one) => baseLanguage(one) === base);
    if (key !== undefined) return entries[key] ?? null;
  }
  return entries[keys[0] ?? ''] ?? null;
}

/**
 * Whether a message that answers somebody may be sent to them: after they have opted out only what answers something that
 * they wrote later (`isWritten`), and the confirmation, which answers the opt-out itself. To everything else, in bulk or of a
 * flow that answers nothing, an opt-out is an end.
 * @param optedOutAt null for somebody who has not opted out
 * @param answersAt when the person wrote what is answered; null when the message answers nothing that they wrote
 */
export function mayAnswer(optedOutAt: number | null, answersAt: number | null, isConfirmation: boolean): boolean {
  if (optedOutAt === null) return true;
  if (answersAt === null) return false;
  return isConfirmation ? answersAt >= optedOutAt : answersAt > optedOutAt;
}
