import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type ProcessStats, readProcessStats } from './process-stats.js'

/** A question to a child and its answer, over Node's IPC channel. */
interface Question {
  readonly id: number
  readonly verb: string
  readonly input: unknown
}
interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

const ASK_TIMEOUT_MS = 60_000

/** A child process of a benchmark. It runs a script of this folder, which answers verbs, and ends with its parent. */
export class Child {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, (value: unknown, error: Error | undefined) => void>()
  #asked = 0

  private constructor(child: ChildProcess) {
    this.#process = child
    child.on('message', message => this.#settle(message as Answer))
    child.on('exit', (code, signal) => {
      const error = new Error(`a benchmark process ended early (exit code ${code}, signal ${signal})`)
      for (const settle of this.#waiting.values()) settle(undefined, error)
      this.#waiting.clear()
    })
  }

  /** Starts `file` of this folder; it is ready when its `start` verb has answered. */
  static async start<Ready>(
    file: string,
    input: unknown = {},
    /** Modules that are loaded before the script, in every thread. */
    imports: readonly string[] = [],
    /** The Node that runs it. */
    execPath = process.execPath,
    /** Flags of Node and V8. */
    flags: readonly string[] = []
  ): Promise<{ child: Child; ready: Ready }> {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = new Child(
      fork(path, {
        execPath,
        execArgv: [...flags, ...['tsx', ...imports].flatMap(module => ['--import', module])],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc']
      })
    )
    return { child, ready: await child.ask<Ready>('start', input) }
  }

  get pid(): number {
    return this.#process.pid!
  }

  stats(): ProcessStats {
    return readProcessStats(this.pid)
  }

  ask<Value>(verb: string, input: unknown = {}, timeoutMs = ASK_TIMEOUT_MS): Promise<Value> {
    const id = ++this.#asked
    return new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${verb} was not answered within ${timeoutMs} ms`)), timeoutMs)
      const settle = (value: unknown, error: Error | undefined) => {
        clearTimeout(timer)
        if (error) reject(error)
        else resolve(value)
      }
      this.#waiting.set(id, settle)
      this.#process.send({ id, verb, input } satisfies Question)
    }) as Promise<Value>
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = new Promise(resolve => this.#process.once('exit', resolve))
    this.#process.kill('SIGKILL')
    await exited
  }

  #settle({ id, value, error }: Answer): void {
    this.#waiting.get(id)?.(value, error === undefined ? undefined : new Error(error))
    this.#waiting.delete(id)
  }
}

/** The child's side: answers verbs until the parent ends. */
export function answerParent(verbs: Readonly<Record<string, (input: never) => unknown>>): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', async ({ id, verb, input }: Question) => {
    try {
      const value = await verbs[verb]!(input as never)
      process.send?.({ id, value } satisfies Answer)
    } catch (error) {
      process.send?.({ id, error: (error as Error).stack ?? String(error) } satisfies Answer)
    }
  })
}
