/**
 * Nothing outlives the test file that started it. Mocha runs many files in one process; what a file leaves running meets
 * the tests of others there. A timer that is left fires while another test has a fake clock, is set anew on that clock,
 * and that test finds one timer more than it has.
 *
 * Mocha loads this first (`.mocharc.json`). When the tests of a file have ended, its timers have a few seconds to end as
 * well; those that are left then fail the file, with the place where each was set.
 */
import { promisify } from 'node:util'

const PATIENCE_MS = 5_000
const LOOK_AGAIN_MS = 20
/** Set by Node itself, for its `fetch` and others: not ours to end. */
const OF_NODE = /^\s+at [^\n]*\(?node:/

interface Left {
  readonly file: string | undefined
  readonly test: string
  readonly kind: string
  readonly at: Error
}

type Callback = (...args: unknown[]) => void
type SetTimer = (run: Callback, delayMs?: number, ...args: unknown[]) => NodeJS.Timeout

const native = { setTimeout, setInterval, clearTimeout, clearInterval }
const timers = new Map<unknown, Left>()
let currentTest = 'before its first test'
let currentFile: string | undefined

function tracked(kind: string, set: SetTimer, runsOnce: boolean): SetTimer {
  return function setTracked(run, delayMs, ...args) {
    const at = {} as Error
    Error.captureStackTrace(at, setTracked)
    const timer = set(
      function fire(this: unknown, ...given: unknown[]) {
        if (runsOnce) timers.delete(timer)
        run.apply(this, given)
      },
      delayMs,
      ...args
    )
    timers.set(timer, { file: currentFile, test: currentTest, kind: `${kind}(${delayMs ?? ''})`, at })
    return timer
  }
}

const untracked =
  (clear: typeof clearTimeout): typeof clearTimeout =>
  timer => {
    if (!timers.delete(timer) && typeof timer !== 'object') forgetById(timer)
    clear(timer)
  }

function forgetById(id: unknown): void {
  for (const timer of timers.keys()) if (String(Number(timer)) === String(id)) timers.delete(timer)
}

const ours = {
  setTimeout: Object.assign(tracked('setTimeout', native.setTimeout as unknown as SetTimer, true), {
    [promisify.custom]: native.setTimeout[promisify.custom as never]
  }),
  setInterval: tracked('setInterval', native.setInterval as unknown as SetTimer, false),
  clearTimeout: untracked(native.clearTimeout),
  clearInterval: untracked(native.clearInterval as typeof clearTimeout)
}
Object.assign(globalThis, ours)

const leftTimers = (): Left[] => [...timers.values()].filter(({ at }) => !OF_NODE.test(firstFrame(at)))
const firstFrame = (at: Error): string => at.stack?.split('\n')[1] ?? ''

/** What belongs to the process and is not to be changed for good. */
const lasting = () => ({
  environment: JSON.stringify(Object.entries(process.env).sort()),
  folder: process.cwd(),
  listeners: ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'beforeExit', 'warning', 'message', 'disconnect']
    .map(event => `${event} ${process.listenerCount(event)}`)
    .join(', ')
})
let before = lasting()

/** Connections of Node's own `fetch` that are kept for later: a later server may get the port of an ended one. */
async function endKeptConnections(): Promise<void> {
  const key = Symbol.for('undici.globalDispatcher.1')
  const globals = globalThis as unknown as Record<symbol, { destroy(): Promise<void> } | undefined>
  const dispatcher = globals[key]
  if (dispatcher === undefined) return
  globals[key] = new (dispatcher.constructor as new () => { destroy(): Promise<void> })()
  await dispatcher.destroy()
}

async function timersHaveEnded(): Promise<void> {
  for (let waitedMs = 0; leftTimers().length > 0 && waitedMs < PATIENCE_MS; waitedMs += LOOK_AGAIN_MS) {
    await new Promise(resolve => native.setTimeout(resolve, LOOK_AGAIN_MS))
  }
}

function describe({ kind, test, at }: Left): string {
  const frames = (at.stack ?? '').split('\n').slice(1, 7).join('\n')
  return `${kind}, set in "${test}"\n${frames}`
}

export const mochaHooks = {
  beforeAll() {
    before = lasting()
    currentTest = 'before its first test'
  },
  beforeEach(this: Mocha.Context) {
    currentTest = this.currentTest!.fullTitle()
    currentFile = this.currentTest!.file
  },
  async afterAll(this: Mocha.Context) {
    this.timeout(4 * PATIENCE_MS)
    const problems: string[] = []
    if (globalThis.setTimeout !== (ours.setTimeout as unknown)) {
      problems.push(`a clock that is not real, in "${currentTest}" or before`)
      Object.assign(globalThis, ours)
    }
    await endKeptConnections()
    await timersHaveEnded()
    problems.push(...leftTimers().map(describe))
    const after = lasting()
    for (const what of ['environment', 'folder', 'listeners'] as const) {
      if (before[what] !== after[what]) problems.push(`another ${what}: ${before[what]} became ${after[what]}`)
    }
    for (const timer of timers.keys()) native.clearTimeout(timer as NodeJS.Timeout)
    timers.clear()
    if (problems.length > 0)
      throw new Error(`${currentFile ?? 'a file'} leaves behind\n${problems.slice(0, 10).join('\n')}`)
  }
}
