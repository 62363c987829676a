/**
 * The ledger, the windows and the opt-outs in one SQLite file. Each part of it knows its own tables; here stands which of
 * what they do is one durable step.
 */
import type { Store } from '../ports.js';
import { SqliteCampaigns } from './sqlite-campaigns.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { SqliteInbound } from './sqlite-inbound.js';
import { SqlitePeople } from './sqlite-people.js';
import { SqlitePlans } from './sqlite-plans.js';
import { SqliteReceipts } from './sqlite-receipts.js';
import { SqliteRecurrences } from './sqlite-recurrences.js';
import { SqliteReports } from './sqlite-reports.js';
import { SqliteRuns } from './sqlite-runs.js';
import { SqliteSingles } from './sqlite-singles.js';

export class SqliteStore implements Store {
  readonly #file: SqliteDatabase;
  readonly #people: SqlitePeople;
  readonly #campaigns: SqliteCampaigns;
  readonly #recurrences: SqliteRecurrences;
  readonly #plans: SqlitePlans;
  readonly #receipts: SqliteReceipts;
  readonly #runs: SqliteRuns;
  readonly #singles: SqliteSingles;
  readonly #inbound: SqliteInbound;
  readonly #reports: SqliteReports;

  constructor(file: SqliteDatabase) {
    this.#file = file;
    this.#people = new SqlitePeople(file);
    this.#campaigns = new SqliteCampaigns(file);
    this.#recurrences = new SqliteRecurrences(file);
    this.#plans = new SqlitePlans(file, this.#campaigns, this.#recurrences);
    this.#receipts = new SqliteReceipts(file, this.#people);
    this.#runs = new SqliteRuns(file, this.#campaigns, this.#people, this.#receipts);
    this.#singles = new SqliteSingles(file);
    this.#inbound = new SqliteInbound(file, this.#people, this.#receipts, this.#singles);
    this.#reports = new SqliteReports(file, this.#campaigns);
  }

  readonly recordOpeners: Store['recordOpeners'] = (account, events) =>
    this.#file.write(() => events.filter((event) => this.#people.opened(account, event)).length);
  readonly openersOf: Store['openersOf'] = (account, userId) =>
    this.#file.run(() => this.#people.openersOf(account, userId));
  readonly recentPeople: Store['recentPeople'] = (account, window, limit) =>
    this.#file.run(() => this.#people.recent(account, window, limit));
  readonly people: Store['people'] = (account) => this.#people.everybody(account);
  readonly windowSync: Store['windowSync'] = (account) => this.#file.run(() => this.#people.sync(account));
  readonly keepWindowSync: Store['keepWindowSync'] = (account, sync) =>
    this.#file.write(() => this.#people.keepSync(account, sync));
  readonly standings: Store['standings'] = (account, userIds, window) =>
    this.#file.run(() => this.#people.standings(account, userIds, window));
  readonly changeOptOuts: Store['changeOptOuts'] = (changes) =>
    this.#file.write(() => {
      const changed = changes.map((change) => this.#people.changeOptOut(change));
      return changed.filter(({ was, is }) => was !== is).length;
    });
  readonly optOuts: Store['optOuts'] = (account) => this.#people.optOuts(account);

  readonly draft: Store['draft'] = (plan) => this.#plans.draft(plan);
  readonly stage: Store['stage'] = (plan, rows) => this.#plans.stage(plan, rows);
  readonly order: Store['order'] = (plan) => this.#plans.order(plan);
  readonly stagedQueue: Store['stagedQueue'] = (plan) => this.#plans.stagedQueue(plan);
  readonly leaveOut: Store['leaveOut'] = (plan, seqs, reason) => this.#plans.leaveOut(plan, seqs, reason);
  readonly moveOutside: Store['moveOutside'] = (plan, seqs) => this.#plans.moveOutside(plan, seqs);
  readonly discard: Store['discard'] = (plan) => this.#plans.discard(plan);
  readonly approve: Store['approve'] = (plan, approval) => this.#plans.approve(plan, approval);

  readonly replan: Store['replan'] = (lease, campaign, rows) => this.#runs.replan(lease, campaign, rows);
  readonly queue: Store['queue'] = (campaign) => this.#runs.queue(campaign);
  readonly expire: Store['expire'] = (lease, campaign, now) => this.#runs.expire(lease, campaign, now);
  readonly pause: Store['pause'] = (campaign, now) => this.#runs.pause(campaign, now);
  readonly reschedule: Store['reschedule'] = (campaign) => this.#runs.reschedule(campaign);
  readonly cancel: Store['cancel'] = (campaign, now) => this.#runs.cancel(campaign, now);
  readonly start: Store['start'] = (lease, campaign, now, seen) => this.#runs.start(lease, campaign, now, seen);
  readonly next: Store['next'] = (campaign, limit, now) => this.#runs.next(campaign, limit, now);
  readonly nextAttemptAt: Store['nextAttemptAt'] = (campaign) => this.#runs.nextAttemptAt(campaign);
  readonly record: Store['record'] = (lease, campaign, step, now) => this.#runs.record(lease, campaign, step, now);
  readonly conclude: Store['conclude'] = (lease, campaign, end, now) => this.#runs.conclude(lease, campaign, end, now);
  readonly requeue: Store['requeue'] = (lease, campaign, rows) => this.#runs.requeue(lease, campaign, rows);
  readonly resolve: Store['resolve'] = (lease, campaign, rows, now) => this.#runs.resolve(lease, campaign, rows, now);

  readonly recordEchoes: Store['recordEchoes'] = (account, echoes, now) =>
    this.#file.write(() => echoes.filter((echo) => this.#receipts.echo(account, echo, now)).length);
  readonly recordReceipts: Store['recordReceipts'] = async (account, receipts, now) => {
    // Before the write: going through all messages would hold up everybody else.
    const byMessage = await this.#file.run(() => this.#receipts.placesByMessage(account, receipts));
    return this.#file.write(() => this.#receipts.receipts(account, receipts, byMessage, now));
  };

  readonly receive: Store['receive'] = (deliveries) => this.#file.write(() => this.#inbound.receive(deliveries));
  readonly received: Store['received'] = async (limit) => {
    const found = await this.#file.run(() => this.#inbound.received(limit));
    this.#inbound.looked(found.length);
    return found;
  };
  readonly backlog: Store['backlog'] = () => this.#file.run(() => this.#inbound.backlog());
  readonly hear: Store['hear'] = async (heard, now) => {
    const results = await this.#file.write(() => this.#inbound.hear(heard, now));
    this.#inbound.wasHeard(now);
    return results;
  };
  readonly deadLetters: Store['deadLetters'] = (since, limit) =>
    this.#file.run(() => this.#inbound.deadLetters(since, limit));
  readonly deadLetterCounts: Store['deadLetterCounts'] = (since) =>
    this.#file.run(() => this.#inbound.deadLetterCounts(since));

  readonly queueSingles: Store['queueSingles'] = (singles, now) =>
    this.#file.write(() => singles.map((single) => this.#singles.queue(single, now)));
  readonly nextSingles: Store['nextSingles'] = (account, limit, now, except = []) =>
    this.#file.run(() => this.#singles.next(account, limit, now, except));
  readonly singlesDueAt: Store['singlesDueAt'] = (account) => this.#file.run(() => this.#singles.dueAt(account));
  readonly withdrawSingle: Store['withdrawSingle'] = (row, now) =>
    this.#file.write(() => this.#singles.withdraw(row, now));
  readonly lastLanguage: Store['lastLanguage'] = (account, userId) =>
    this.#file.run(() => this.#singles.lastLanguage(account, userId));
  readonly lastAutomatic: Store['lastAutomatic'] = (account, userId) =>
    this.#file.run(() => this.#singles.lastAutomatic(account, userId));

  readonly addRecurrence: Store['addRecurrence'] = (recurrence) =>
    this.#file.write(() => this.#recurrences.add(recurrence));
  readonly recurrences: Store['recurrences'] = () => this.#file.run(() => this.#recurrences.all());
  readonly passOccurrence: Store['passOccurrence'] = (id, from, last, nextAt) =>
    this.#file.write(() => this.#recurrences.pass(id, from, last, nextAt));
  readonly endRecurrence: Store['endRecurrence'] = (id) => this.#file.write(() => this.#recurrences.end(id));

  readonly sentBefore: Store['sentBefore'] = (account, digest, since) =>
    this.#file.run(() => this.#campaigns.sentBefore(account, digest, since));
  readonly campaign: Store['campaign'] = (id) => this.#file.run(() => this.#campaigns.one(id));
  readonly campaigns: Store['campaigns'] = () => this.#file.run(() => this.#campaigns.all());
  readonly campaignOf: Store['campaignOf'] = (occurrence) => this.#file.run(() => this.#campaigns.of(occurrence));
  readonly campaignWithKey: Store['campaignWithKey'] = (key) => this.#file.run(() => this.#campaigns.withKey(key));
  readonly openCampaigns: Store['openCampaigns'] = (account) => this.#file.run(() => this.#campaigns.open(account));

  readonly summary: Store['summary'] = (campaign) => this.#reports.summary(campaign);
  readonly timeline: Store['timeline'] = (campaign, spanMs) => this.#reports.timeline(campaign, spanMs);
  readonly messages: Store['messages'] = (filter) => this.#reports.messages(filter);
  readonly message: Store['message'] = (row) => this.#file.run(() => this.#reports.message(row));

  close(): Promise<void> {
    return this.#file.run(() => {
      this.#inbound.leave();
      this.#file.connection.close();
    });
  }
}
