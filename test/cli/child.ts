import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { isBuilt, PROJECT } from '../support/built.js'
import { walDirectoryOf } from '../support/wal-directory.js'

/** Longest a child may take to say something; far more than it needs on a machine that is busy. */
const PATIENCE_MS = 90_000

/** The built command starts in a third of the time; the sources are run when they are newer. Source maps would cost a tenth more. */
export const COMMAND = isBuilt ? ['dist/main.js'] : ['--import', 'tsx', 'src/main.ts']

const ownWalDirectory = (environment: Record<string, string>): Record<string, string> =>
  'ARION_QUEUE_PATH' in environment ? {} : { CASTELLAN_WAL_DIRECTORY: walDirectoryOf('children') }

/** The command, run as its users run it, or another program. */
export class Child {
  readonly process: ChildProcess
  readonly lines: string[] = []
  stderr = ''
  readonly #waiting = new Set<() => void>()
  readonly #closed: Promise<unknown>

  constructor(args: readonly string[], environment: Record<string, string> = {}, program: readonly string[] = COMMAND) {
    const { PATH = '', HOME = '' } = process.env
    this.process = spawn(process.execPath, [...program, ...args], {
      cwd: PROJECT,
      // Nobody balances load over these.
      env: {
        PATH,
        HOME,
        CASTELLAN_SHUTDOWN_DRAIN_MS: '0',
        ...ownWalDirectory(environment),
        ...environment
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    createInterface({ input: this.process.stdout! }).on('line', line => {
      this.lines.push(line)
      for (const look of this.#waiting) look()
    })
    this.process.stderr!.on('data', (data: Buffer) => {
      this.stderr += data.toString()
    })
    this.#closed = once(this.process, 'close').then(() => {
      for (const look of this.#waiting) look()
    })
  }

  get isRunning(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  /** The first match of a pattern in a line of stdout, now or later. */
  async line(pattern: RegExp): Promise<RegExpMatchArray> {
    let look!: () => void
    const found = new Promise<RegExpMatchArray>((resolve, reject) => {
      look = () => {
        for (const line of this.lines) {
          const match = line.match(pattern)
          if (match) return resolve(match)
        }
        if (!this.isRunning)
          reject(new Error(`ended without saying ${pattern}:\n${this.lines.join('\n')}\n${this.stderr}`))
      }
      this.#waiting.add(look)
      look()
    })
    try {
      return await within(found, `${pattern}, only:\n${this.lines.join('\n')}\n${this.stderr}`)
    } finally {
      this.#waiting.delete(look)
    }
  }

  /** The exit code, once everything it wrote has been read. */
  async exit(): Promise<number | null> {
    await within(this.#closed, 'the end')
    return this.process.exitCode
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.isRunning) this.process.kill(signal)
    return this.exit()
  }
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms for ${what}`)), PATIENCE_MS)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Children of one test, ended after it whatever happens. */
export class Children {
  #all: Child[] = []

  start(args: readonly string[], environment?: Record<string, string>): Child {
    const child = new Child(args, environment)
    this.#all.push(child)
    return child
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#all.map(child => child.stop('SIGKILL').catch(() => undefined)))
    this.#all = []
  }
}

/** A gateway on free ports. */
export class Gateway {
  private constructor(
    readonly child: Child,
    readonly url: string,
    readonly management: string
  ) {}

  static async start(
    children: Children,
    args: readonly string[],
    environment?: Record<string, string>
  ): Promise<Gateway> {
    const child = children.start(['serve', '--port', '0', '--management-port', '0', ...args], environment)
    const [, url] = await child.line(/listening on (http:\/\/[0-9.:]+)/)
    const [, management] = await child.line(/health and metrics: (http:\/\/[0-9.:]+)/)
    return new Gateway(child, url!, management!)
  }

  push(body: object): Promise<Response> {
    const headers = { 'content-type': 'application/json' }
    return fetch(`${this.url}/kprf/push`, { method: 'POST', headers, body: JSON.stringify(body) })
  }

  /** Resolves when `/ready/kafka` answers with the status. */
  async until(status: number): Promise<Response> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (;;) {
      const response = await fetch(`${this.management}/ready/kafka`)
      if (response.status === status) return response
      await response.arrayBuffer()
      if (performance.now() > giveUpAt)
        throw new Error(`/ready never answered ${status}:\n${this.child.lines.join('\n')}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}
