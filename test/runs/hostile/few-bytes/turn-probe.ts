import { createServer } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { LongestTick } from '../../../../examples/bench/tools/longest-tick.js'

/**
 * Loaded into the gateway by `--import`, as one file. Measures the turns of its loop in processor time, and tells everyone who
 * connects to the socket that the URL of this module names the longest since it was asked last, in milliseconds.
 */
if (isMainThread) {
  const ticks = new LongestTick()
  createServer(socket => socket.end(String(ticks.take())))
    .listen(new URL(import.meta.url).searchParams.get('socket'))
    .unref()
}
