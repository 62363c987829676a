import { living, openLedger, successor } from '../support/fixtures.js';
import { inboundContract } from '../support/store-contract-inbound.js';
import { outcomesContract } from '../support/store-contract-outcomes.js';
import { scheduleContract } from '../support/store-contract-schedules.js';
import { singlesContract } from '../support/store-contract-singles.js';
import { storeContract, type StoreUnderTest } from '../support/store-contract.js';

const open = (): Promise<StoreUnderTest> => {
  const { store, engine, as, sql } = openLedger();
  return Promise.resolve({
    store,
    engine,
    other: (about) => Promise.resolve(as(about === 'others gone' ? successor : { ...living, name: 'host/3' })),
    pause: (campaign) => {
      sql(`UPDATE campaigns SET state = 'paused' WHERE id = ?`, campaign);
      return Promise.resolve();
    },
  });
};

storeContract('SQLite', open);
scheduleContract('SQLite', open);
outcomesContract('SQLite', open);
inboundContract('SQLite', open);
singlesContract('SQLite', open);
