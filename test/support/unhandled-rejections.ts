/**
 * A rejection that nobody handles ends a process of ours, and mocha passes over it. Here it fails the test that runs, or is
 * about to run.
 */
import { inspect } from 'node:util'

process.on('unhandledRejection', reason => {
  throw reason instanceof Error ? reason : new Error(`nobody has handled a rejection with ${inspect(reason)}`)
})
