import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../real-kafka/ports.js'

const MAIN = join(import.meta.dirname, '../../../dist/main.js')
/** Far more than it takes: on a busy machine it needs half a minute. */
const READY_TIMEOUT_MS = 180_000

export interface GatewayOptions {
  /** For its log and its durable log. */
  readonly directory: string
  readonly bootstrap: string
  readonly flags: readonly string[]
  /** The file of its configuration. */
  readonly config?: string
}

/** A gateway that comes back under the same address, with the same directory, each time it is killed. */
export class Gateway {
  readonly #options: GatewayOptions
  readonly #ports: readonly number[]
  #child: ChildProcess | undefined
  /** How long each start took, until `/ready/kafka`. */
  readonly startsMs: number[] = []

  private constructor(options: GatewayOptions, ports: readonly number[]) {
    this.#options = options
    this.#ports = ports
  }

  static async make(options: GatewayOptions): Promise<Gateway> {
    return new Gateway(options, await freePorts(2))
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports[0]}`
  }
  get managementUrl(): string {
    return `http://127.0.0.1:${this.#ports[1]}`
  }
  get pid(): number {
    return this.#child!.pid!
  }
  get logPath(): string {
    return join(this.#options.directory, 'gateway.log')
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    const startedAt = performance.now()
    this.#spawn()
    await this.#answers(`${this.managementUrl}/ready/kafka`)
    this.startsMs.push(performance.now() - startedAt)
  }

  /** Resolves when it serves, also while no broker answers. */
  async launch(): Promise<void> {
    this.#spawn()
    await this.#answers(`${this.url}/arion/health-check`)
  }

  #spawn(): void {
    const { directory, bootstrap, flags, config } = this.#options
    const [port, managementPort] = this.#ports
    const log = openSync(this.logPath, 'a')
    const args = [
      ...['--enable-source-maps', MAIN, 'serve', '--brokers', bootstrap],
      ...['--port', String(port), '--management-port', String(managementPort)],
      ...(config === undefined ? [] : ['--config', config]),
      ...['shutdown.drainMs=0', `wal.directory=${join(directory, 'wal')}`, ...flags].flatMap(one => ['--set', one])
    ]
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', log, log], cwd: directory })
    closeSync(log)
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    const child = this.#running()
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** It stands still for a while, as on a machine that is suspended. */
  async pause(durationMs: number): Promise<void> {
    const { pid } = this
    process.kill(pid, 'SIGSTOP')
    await sleep(durationMs)
    process.kill(pid, 'SIGCONT')
  }

  #running(): ChildProcess {
    const child = this.#child!
    if (!isRunning(child)) throw new Error(`the gateway has ended by itself:\n${this.lastWords()}`)
    return child
  }

  /** @returns the exit code; 0 means that nothing was lost */
  async stop(): Promise<number | null> {
    const child = this.#child!
    if (isRunning(child)) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    return child.exitCode
  }

  /** Ends it, whatever it is doing. */
  end(): void {
    if (this.#child && isRunning(this.#child)) this.#child.kill('SIGKILL')
  }

  lastWords(): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-20).join('\n')
  }

  /** The sum of a metric over its labels; 0 when there is none. */
  async metric(name: string): Promise<number> {
    const answer = await fetch(`${this.managementUrl}/metrics`)
    const lines = (await answer.text())
      .split('\n')
      .filter(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
  }

  async #answers(url: string): Promise<void> {
    for (const deadline = performance.now() + READY_TIMEOUT_MS; performance.now() < deadline; await sleep(20)) {
      if (!isRunning(this.#child!)) break
      const answer = await fetch(url).catch(() => undefined)
      await answer?.arrayBuffer()
      if (answer?.status === 200) return
    }
    this.end()
    throw new Error(`${url} was not answered 200 in time:\n${this.lastWords()}`)
  }
}

const isRunning = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null
