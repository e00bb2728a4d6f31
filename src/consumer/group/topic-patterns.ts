import type { MonotonicClock } from '../../core/model.js'
import { loadPackage } from '../../core/package-file.js'
import { partsOf } from '../../core/pattern-parts.js'
import { PORTION_MS } from '../../core/portions.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { GroupRuntime, Timer } from './group-runtime.js'

const TIMEOUT_MS = 10_000
const MAX_PATTERN_LENGTH = 1_000
/** Limit of the parts of a pattern with its repetitions written out: one name takes milliseconds then. */
const MAX_PARTS = 256
/** After a portion of names, matching pauses for this many times the duration of the portion. */
const PAUSES_PER_PORTION = 4

/** The topics that a client wants. */
interface PatternChoice {
  readonly text: string
  /** Whether the client may have a topic; asked before the pattern is matched. */
  readonly includes: (topic: string) => boolean
  /** The client to whose share the time for matching counts. */
  readonly client: string | undefined
}

/**
 * Compiles a regular expression in RE2's syntax, which has to match a whole name. Matching takes linear time in the length
 * of a name, but a few characters can make a program of any size, so the parts of a pattern are counted first.
 *
 * @throws Error for too many parts, and for a pattern that is not valid
 */
export function compilePattern(text: string): (topic: string) => boolean {
  const problem = problemOfPattern(text)
  if (problem) throw new Error(problem)
  const { RE2JS } = loadPackage<typeof import('re2js')>('re2js')
  const compiled = RE2JS.compile(text)
  return topic => compiled.matches(topic)
}

function problemOfPattern(text: string): string | undefined {
  if (text.length > MAX_PATTERN_LENGTH) return `it is too long (limit ${MAX_PATTERN_LENGTH} characters)`
  // Ranges of such characters take long to compile, and no name of a topic has one.
  if (/[^\0-\x7f]|\\x\{/.test(text)) return 'it has a character that is not ASCII'
  const parts = partsOf(text)
  return parts > MAX_PARTS ? `it has ${parts} parts with its repetitions written out (limit ${MAX_PARTS})` : undefined
}

export interface PatternFinder {
  /** The topics that match now, without internal ones. `undefined`: Kafka has not answered. */
  find(choice: PatternChoice): Promise<readonly string[] | undefined>
}

/**
 * Looks up the topics that match patterns. Clients take turns of a few milliseconds, and all together have a fifth of the
 * time, so that no client waits for the patterns of others. One pattern is compiled at a time: what RE2 remembers of names takes
 * megabytes.
 */
export class PatternLookUps implements PatternFinder {
  readonly #ask: GroupRuntime['ask']
  readonly #clock: MonotonicClock
  /** Client => its last look-up. The next one of the client begins after it. */
  readonly #last = new Map<string | undefined, Promise<unknown>>()
  /** Resolves when the next portion may begin. */
  #rested: Promise<unknown> = Promise.resolve()
  /** The look-up whose pattern was compiled last, and its result. */
  #compiledFor: object | undefined
  #matches: (topic: string) => boolean = () => false
  /** Kafka's last answer. */
  #topics: readonly string[] = []
  #asking: Promise<boolean> = Promise.resolve(true)
  #nextAsking: Promise<boolean> | undefined

  constructor(ask: GroupRuntime['ask'], clock: MonotonicClock) {
    this.#ask = ask
    this.#clock = clock
  }

  /** Throws for a pattern that cannot be used. */
  async check(text: string, client: string | undefined): Promise<void> {
    await this.#turns(client, () => {
      compilePattern(text)
      return true
    })
  }

  async find({ text, includes, client }: PatternChoice): Promise<readonly string[] | undefined> {
    // Later callers share the next question to Kafka, because they may know a topic that is newer than this one.
    this.#nextAsking ??= this.#asking.then(() => {
      this.#nextAsking = undefined
      this.#asking = this.#lookUpTopics()
      return this.#asking
    })
    if (!(await this.#nextAsking)) return undefined
    const found: string[] = []
    let topics: IterableIterator<string> | undefined
    await this.#turns(client, () => {
      topics ??= this.#topics.values()
      const next = topics.next()
      if (next.done) return true
      if (this.#compiledFor !== found) this.#matches = compilePattern(text)
      this.#compiledFor = found
      if (includes(next.value) && this.#matches(next.value)) found.push(next.value)
      return false
    })
    return found
  }

  #lookUpTopics(): Promise<boolean> {
    return new Promise(resolve => {
      this.#ask('fetchTopicMetadata', { topics: null, timeoutMs: TIMEOUT_MS }, result => {
        if (result.type === 'success') {
          const usable = [...result.topics.values()].filter(
            ({ errorCode, isInternal }) => errorCode === errorCodes.NONE && !isInternal
          )
          this.#topics = usable.map(({ topic }) => topic)
        }
        resolve(result.type === 'success')
      })
    })
  }

  /** Repeats a step until it says that it was the last one. Clients take turns. */
  async #turns(client: string | undefined, step: () => boolean): Promise<void> {
    const before = this.#last.get(client)
    const work = async (): Promise<void> => {
      await before
      while (!(await this.#portion(step)));
    }
    const working = work()
    const over = working.catch(() => undefined)
    this.#last.set(client, over)
    void over.then(() => {
      if (this.#last.get(client) === over) this.#last.delete(client)
    })
    return working
  }

  /** Repeats the step for a few milliseconds, and rests afterwards. @returns whether the last step was done */
  #portion(step: () => boolean): Promise<boolean> {
    let usedMs = 0
    const portion = this.#rested.then(() => {
      const startedAt = this.#clock()
      let isDone = false
      try {
        while (!isDone && this.#clock() < startedAt + PORTION_MS) isDone = step()
      } finally {
        usedMs = this.#clock() - startedAt
      }
      return isDone
    })
    const rest = (): Promise<void> =>
      new Promise(resolve => setTimeout(resolve, Math.ceil(PAUSES_PER_PORTION * usedMs)).unref())
    this.#rested = portion.then(rest, rest)
    return portion
  }
}

interface MatchingTopics extends PatternChoice {
  /** True: `includes` leaves topics out. */
  readonly isLimited: boolean
}

export type ChosenTopics = { readonly topics: readonly string[] } | MatchingTopics

interface ChosenTopicsOptions {
  readonly runtime: Pick<GroupRuntime, 'after' | 'log'>
  readonly topics: ChosenTopics
  readonly patterns: PatternFinder
  /** Pause between two look-ups of the topics that match a pattern. */
  readonly checkMs: number
  /** The same pause while no topic matches. */
  readonly missingCheckMs: number
  /** With more matching topics, the pattern probably matches by mistake: the rest is left out. */
  readonly maxTopics: number
  /** Called with the topics of the subscription, at once for named ones and with each change for a pattern. */
  readonly onChosen: (names: readonly string[]) => void
}

/** The topics of a subscription. Those of a pattern are looked up again and again. */
export class ChosenTopicsWatch {
  readonly #options: ChosenTopicsOptions
  /** `undefined`: the topics that match are not looked up yet. */
  #names: readonly string[] | undefined
  /** Called after the first look-up with its topics; without any if there is none. */
  readonly #waiting: ((names: readonly string[] | undefined) => void)[] = []
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: ChosenTopicsOptions) {
    this.#options = options
    const { topics, onChosen } = options
    if ('topics' in topics) {
      this.#names = topics.topics
      onChosen(topics.topics)
    } else this.#lookUp(topics)
  }

  get names(): readonly string[] {
    return this.#names ?? []
  }

  /** Calls back as soon as the topics are known. `undefined`: Kafka has not told them, or the subscription has ended. */
  whenKnown(run: (names: readonly string[] | undefined) => void): void {
    this.#waiting.push(run)
    if (this.#names) this.#answer()
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#answer()
  }

  #answer(): void {
    for (const run of this.#waiting.splice(0)) run(this.#names)
  }

  #lookUp(choice: MatchingTopics): void {
    const { runtime, patterns } = this.#options
    patterns
      .find(choice)
      .catch((error: unknown) => {
        runtime.log.warn({ err: error }, 'a pattern of topics cannot be used')
        return []
      })
      // Goes on in a tick of the group's actor.
      .then(found => runtime.after(0, () => this.#found(choice, found)))
  }

  #found(choice: MatchingTopics, found: readonly string[] | undefined): void {
    if (this.#isStopped) return
    const { runtime, onChosen, checkMs, missingCheckMs, maxTopics } = this.#options
    if (found) {
      if (found.length > maxTopics)
        runtime.log.warn({ topics: found.length, limit: maxTopics }, 'a pattern matches too many topics')
      const names = [...found].sort().slice(0, maxTopics)
      if (names.join() !== this.#names?.join()) {
        this.#names = names
        onChosen(names)
      }
    }
    this.#answer()
    const pauseMs = this.names.length > 0 ? checkMs : missingCheckMs
    this.#timer = runtime.after(pauseMs, () => this.#lookUp(choice))
  }
}
