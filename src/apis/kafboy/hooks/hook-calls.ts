import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../../../core/errors.js'
import { inTime } from '../../../core/in-time.js'
import type { Logger, ProduceRecord } from '../../../core/model.js'
import { messageOf } from '../../../core/node-errors.js'
import { type Decided, readDecidedRecords, readDecision } from './decision.js'
import type { KafboyBatchRecord, KafboyEvent, KafboyHooks, KafboyProducer, KafboyRequest } from './hooks.js'

/** Requests that wait for a hook; those beyond are answered 503. Each of them keeps its body. */
const MAX_OPEN = 10_000

/** Why there is no decision: too many requests wait; the hook threw; its time was over. */
type HookFailure = 'overloaded' | 'threw' | 'timedOut'
/** Label values of `kafboy_hook_problems_total`. */
export type HookProblem = HookFailure | 'twice' | 'late' | 'stray'
export type Edited = Decided | { readonly type: HookFailure }

/** No record can go there, so the gateway refuses it. */
const REFUSED_PARTITION = -1

export interface HookCallsDeps {
  readonly timeoutMs: number
  readonly log: Logger
  readonly onProblem: (problem: HookProblem) => void
}

/** A request that waits until a hook decides about it. */
class DecisionWait {
  readonly #onEnd: (read: () => Edited) => void
  readonly #onProblem: (problem: 'twice' | 'late') => void
  /** The problem that a further decision would have. */
  #over: 'twice' | 'late' | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(onEnd: (read: () => Edited) => void, onProblem: (problem: 'twice' | 'late') => void) {
    this.#onEnd = onEnd
    this.#onProblem = onProblem
  }

  get isOver(): boolean {
    return this.#over !== undefined
  }

  /** The first end counts. @param later what another one is @param read the decision */
  end(later: 'twice' | 'late', read: () => Edited): void {
    if (this.#over !== undefined) {
      this.#onProblem(this.#over)
      return
    }
    // Set before the decision is read, because its getters can decide, too.
    this.#over = later
    clearTimeout(this.#timer)
    this.#onEnd(read)
  }

  limit(timeoutMs: number, read: () => Edited): void {
    this.#timer = setTimeout(() => this.end('late', read), timeoutMs)
  }
}

/** Calls the hooks. Nothing that a hook throws leaves it, and a promise that a hook returns is waited for within a limit. */
export class HookCalls {
  readonly #hooks: KafboyHooks
  readonly #deps: HookCallsDeps
  readonly #open = new Set<DecisionWait>()

  constructor(hooks: KafboyHooks, deps: HookCallsDeps) {
    this.#hooks = hooks
    this.#deps = deps
  }

  has(name: keyof KafboyHooks): boolean {
    return this.#hooks[name] !== undefined
  }

  /** Requests that wait for a decision. */
  get openRequests(): number {
    return this.#open.size
  }

  /**
   * Asks `editJson`. The first decision counts.
   *
   * @param done called once, perhaps before this returns
   */
  edit(request: KafboyRequest, producer: KafboyProducer, done: (edited: Edited) => void): void {
    if (this.#open.size >= MAX_OPEN) {
      this.#deps.onProblem('overloaded')
      done({ type: 'overloaded' })
      return
    }
    const wait = new DecisionWait(
      read => {
        this.#open.delete(wait)
        done(this.#guarded(read))
      },
      problem => this.#problem(problem, PROBLEMS[problem])
    )
    const decide = (decision: unknown): void => wait.end('twice', () => readDecision(decision, request.topic))
    const fail = (error: unknown): void =>
      wait.end('twice', () => {
        throw error
      })
    try {
      const decision: unknown = this.#hooks.editJson!(request, decide, producer)
      if (isThenable(decision)) decision.then(value => value !== undefined && decide(value), fail)
      else if (decision !== undefined) decide(decision)
    } catch (error) {
      fail(error)
    }
    if (wait.isOver) return
    this.#open.add(wait)
    wait.limit(this.#deps.timeoutMs, () => this.#failed('timedOut', 'a kafboy hook has not decided in time'))
  }

  /** Tells `onError`, which may not change the answer. */
  error(message: string): void {
    this.#notify(() => this.#hooks.onError?.({ status: 400, message }))
  }

  event(event: KafboyEvent): void {
    this.#notify(() => this.#hooks.onEvent?.(event))
  }

  /** A partition for each record; `undefined`: any; none that there can be: the hook refuses the record. */
  pick(topic: string, partitionCount: number, records: readonly ProduceRecord[]): readonly (number | undefined)[] {
    return records.map(record => {
      try {
        const picked: unknown = this.#hooks.pickPartition!({ topic, ...toBuffers(record), partitionCount })
        if (typeof picked === 'object' && picked !== null && Object.hasOwn(picked, 'error')) return REFUSED_PARTITION
        const isPartition =
          typeof picked === 'number' && Number.isInteger(picked) && picked >= 0 && picked < partitionCount
        return isPartition ? picked : undefined
      } catch (error) {
        this.#problem('stray', PROBLEMS.stray, error)
        return undefined
      }
    })
  }

  /** The records that a batch becomes; itself when the hook fails. */
  massage(topic: string, batch: readonly ProduceRecord[]): readonly ProduceRecord[] {
    try {
      const massaged = readDecidedRecords(topic, this.#hooks.massageBuffer!({ topic, records: batch.map(toBuffers) }))
      if (massaged !== undefined) return massaged
      throw new Error('massageBuffer returned neither a record nor a list of records')
    } catch (error) {
      this.#failed('threw', 'a kafboy hook has failed', error)
      return batch
    }
  }

  /** Ends all requests that still wait. */
  close(): void {
    for (const wait of [...this.#open]) wait.end('late', () => ({ type: 'threw' }))
  }

  #guarded(read: () => Edited): Edited {
    try {
      return read()
    } catch (error) {
      return this.#failed('threw', 'a kafboy hook has failed', error)
    }
  }

  #notify(call: () => unknown): void {
    const stray = (error: unknown): void => this.#problem('stray', PROBLEMS.stray, error)
    try {
      const result = call()
      if (isThenable(result)) result.then(undefined, stray)
    } catch (error) {
      stray(error)
    }
  }

  #failed(type: HookFailure, message: string, ...thrown: readonly unknown[]): Edited {
    this.#problem(type, message, ...thrown)
    return { type }
  }

  /** @param thrown what was thrown, if anything was */
  #problem(problem: HookProblem, message: string, ...thrown: readonly unknown[]): void {
    this.#deps.onProblem(problem)
    this.#deps.log.warn(thrown.length === 0 ? {} : { reason: messageOf(thrown[0]).slice(0, MAX_REASON) }, message)
  }
}

const PROBLEMS = {
  twice: 'a kafboy hook has decided twice about a request; the first decision counts',
  late: 'a kafboy hook has decided after its time limit',
  stray: 'a kafboy hook has failed outside of a decision'
} as const

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'

const toBuffers = ({ key, value }: ProduceRecord): KafboyBatchRecord => ({ key: toBuffer(key), value: toBuffer(value) })

const toBuffer = (bytes: ProduceRecord['key']): Buffer | null =>
  typeof bytes === 'string' ? Buffer.from(bytes) : bytes

/** In the log, limit of the text that a hook has thrown. */
const MAX_REASON = 500

/** All hooks that a module may define. */
const NAMES: ReadonlySet<string> = new Set<keyof KafboyHooks>([
  'editJson',
  'onError',
  'pickPartition',
  'massageBuffer',
  'onEvent'
])
/**
 * Time limit for loading a module. Without it, a module that waits for something at its top level would keep the
 * process from starting, without a line in the log.
 */
const LOAD_TIMEOUT_MS = 30_000

/**
 * Loads the module that `apis.kafboy.callbackEditJson` names into the process.
 *
 * @throws ConfigError when it cannot be used
 */
export async function loadHooks(path: string, timeoutMs = LOAD_TIMEOUT_MS): Promise<KafboyHooks> {
  const module = pathToFileURL(resolve(path)).href
  const reason = `it was not loaded within ${timeoutMs / 1_000} s; is there an await at its top that never ends?`
  try {
    const loading: Promise<{ readonly default?: unknown }> = import(module)
    const loaded = await inTime(loading, timeoutMs, () => Promise.reject(new Error(reason)))
    return checked(loaded.default)
  } catch (error) {
    throw new ConfigError(`apis.kafboy.callbackEditJson: the module cannot be used: ${reasonOf(error, module)}`)
  }
}

function checked(hooks: unknown): KafboyHooks {
  if (typeof hooks !== 'object' || hooks === null) {
    throw new Error('it has no default export; write export default defineKafboyHooks({ … })')
  }
  for (const [name, hook] of Object.entries(hooks)) {
    if (!NAMES.has(name)) throw new Error(`it exports ${JSON.stringify(name)}; there are ${[...NAMES].join(', ')}`)
    if (typeof hook !== 'function') throw new Error(`its ${name} is no function`)
  }
  return hooks
}

/** One line. Node prints the place of a syntax error on the terminal only. */
function reasonOf(error: unknown, module: string): string {
  const { code, message = error } = (error ?? {}) as { code?: string; message?: unknown }
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return 'a module in TypeScript needs Node 22.18 or later, or NODE_OPTIONS="--import tsx"'
  }
  const [line] = String(message).split('\n')
  return error instanceof SyntaxError ? `${line}; run node ${fileURLToPath(module)} to see where` : line!
}
