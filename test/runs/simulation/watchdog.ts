import { Worker } from 'node:worker_threads'

/** Of processor time, which a busy machine does not lengthen. A world takes a second. */
const LONGEST_WORLD_S = 180
const LOOK_EVERY_MS = 5_000

/** Runs in a thread of its own: a world that never ends its turn cannot be told to. */
const watch = `
  const { parentPort } = require('node:worker_threads')
  const { writeSync } = require('node:fs')
  const usedSeconds = () => process.cpuUsage().user / 1e6
  let what
  let since = 0
  parentPort.on('message', next => {
    what = next
    since = usedSeconds()
  })
  setInterval(() => {
    if (what === undefined || usedSeconds() - since < ${LONGEST_WORLD_S}) return
    writeSync(2, what + ' has not ended in ${LONGEST_WORLD_S} s: a turn of it goes round in a circle\\n')
    process.kill(process.pid, 'SIGKILL')
  }, ${LOOK_EVERY_MS})
`

let dog: Worker | undefined

/** The process ends when the world that begins now takes for ever. @param what undefined: it has ended */
export function watchWorld(what: string | undefined): void {
  dog ??= new Worker(watch, { eval: true })
  dog.unref()
  dog.postMessage(what)
}
