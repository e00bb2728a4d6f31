/** The seed of a run is that of its properties too, so that `npm test -- --seed N` repeats them. */
import { configureGlobal } from 'fast-check'

if (process.env.TEST_SEED) configureGlobal({ seed: Number(process.env.TEST_SEED) })
