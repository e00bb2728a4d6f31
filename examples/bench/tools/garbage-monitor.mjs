// Loaded into a server by `node --import`. Tells everyone who connects to the socket that the URL of this module names how many
// bytes of its heap were allocated since the last time. Before the first time it does nothing.
import { createServer } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { Garbage } from './garbage-counter.mjs'

if (isMainThread) {
  let garbage
  createServer(socket => {
    const allocatedBytes = garbage?.stop() ?? 0
    garbage = new Garbage()
    socket.end(JSON.stringify({ allocatedBytes }))
  })
    .listen(new URL(import.meta.url).searchParams.get('socket'))
    .unref()
}
