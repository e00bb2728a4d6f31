/**
 * A slow machine, by the seed in SLOW_MACHINE. `npm run test:slow-machine` loads this first into every process of the
 * tests: the event loop stands still for 5–200 ms, timers fire up to 300 ms late, and sockets that read and answers of
 * files are up to 50 ms late. Timers keep the order in which they are due, and files and sockets what the system promises.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { promisify } from 'node:util'
import { threadId } from 'node:worker_threads'

const native = { setTimeout, sleep: timersPromises.setTimeout, now: performance.now.bind(performance) }
let state = Number(process.env.SLOW_MACHINE) + 1_000 * Number(process.env.MOCHA_WORKER_ID ?? 0) + 1_000_000 * threadId

/** A whole number in [from, to]: `mulberry32`, as in random.ts. */
function between(from, to) {
  state = (state + 0x6d2b79f5) >>> 0
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return from + Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * (to - from + 1))
}

const nothing = new Int32Array(new SharedArrayBuffer(4))
function standStillAgain() {
  const standStill = () => {
    Atomics.wait(nothing, 0, 0, between(5, 200))
    standStillAgain()
  }
  native.setTimeout(standStill, between(50, 1_500)).unref()
}
standStillAgain()

/** Timers that are due within one of these are late. Later ones than this are late enough. */
const FAR_MS = 10_000
const pauses = [{ from: 0, to: 0 }]
function late(delayMs) {
  const asked = Math.max(Number(delayMs) || 1, 1)
  if (asked > FAR_MS) return asked
  const due = native.now() + asked
  while (pauses.at(-1).to < due) {
    const from = pauses.at(-1).to + between(50, 1_000)
    pauses.push({ from, to: from + between(0, 300) })
  }
  while (pauses.length > 1 && pauses[0].to < native.now()) pauses.shift()
  const pause = pauses.find(({ from, to }) => from <= due && due < to)
  return pause === undefined ? asked : asked + pause.to - due
}
const lateTimeout = (run, delayMs, ...args) => native.setTimeout(run, late(delayMs), ...args)
const lateSleep = (delayMs, value, options) => native.sleep(late(delayMs), value, options)
Object.defineProperty(lateTimeout, promisify.custom, { value: lateSleep })
globalThis.setTimeout = lateTimeout
timers.setTimeout = lateTimeout
timersPromises.setTimeout = lateSleep

/** Handles of the system that read, as their sockets see it. Some do not read for a while. */
const reading = new Set()
function pauseReading(handle, { readStart, readStop }) {
  if (readStop.call(handle) !== 0) return reading.delete(handle)
  native.setTimeout(() => reading.has(handle) && readStart.call(handle), between(0, 50))
}
for (const prototype of [
  Object.getPrototypeOf(process.binding('tcp_wrap').TCP.prototype),
  process.binding('tls_wrap').TLSWrap.prototype
]) {
  const { readStart, readStop } = prototype
  prototype.readStart = function start() {
    const error = readStart.call(this)
    if (error === 0) {
      reading.add(this)
      if (between(0, 1) === 0) pauseReading(this, { readStart, readStop })
    }
    return error
  }
  prototype.readStop = function stop() {
    reading.delete(this)
    return readStop.call(this)
  }
  native.setTimeout(function again() {
    for (const handle of reading) {
      if (handle.readStart === prototype.readStart && between(0, 2) === 0) pauseReading(handle, { readStart, readStop })
    }
    native.setTimeout(again, between(10, 200)).unref()
  }, 10).unref()
}

const fileDelay = () => (between(0, 1) === 0 ? between(0, 50) : 0)
const isNotNow = name => typeof fs[`${name}Sync`] === 'function'
for (const name of Object.keys(fs).filter(isNotNow)) {
  const call = fs[name]
  const lateCall = function (...args) {
    const done = args.at(-1)
    const delayMs = fileDelay()
    const later = (...answer) => native.setTimeout(done, delayMs, ...answer)
    return call.apply(this, typeof done === 'function' && delayMs > 0 ? [...args.slice(0, -1), later] : args)
  }
  fs[name] = Object.defineProperties(lateCall, Object.getOwnPropertyDescriptors(call))
}
function lateAnswers(target, names) {
  for (const name of names) {
    const call = target[name]
    target[name] = async function (...args) {
      const answer = await call.apply(this, args)
      await native.sleep(fileDelay())
      return answer
    }
  }
}
const file = await fs.promises.open(process.execPath)
lateAnswers(Object.getPrototypeOf(file), ['read', 'readv', 'write', 'writev', 'sync', 'datasync', 'stat', 'truncate', 'readFile'])
await file.close()
lateAnswers(fs.promises, Object.keys(fs.promises).filter(name => isNotNow(name)))
syncBuiltinESMExports()
