import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { kafkaFolder } from './jars.js'
import { freePorts } from './ports.js'
import { kill, type Workspace } from './workspace.js'

const main = join(kafkaFolder, '../../../dist/main.js')

/** `castellan serve` as a process of its own, built from this checkout. */
export class GatewayProcess {
  private constructor(
    readonly url: string,
    readonly managementUrl: string,
    readonly logPath: string,
    readonly process: ChildProcess
  ) {}

  /** Resolves when `/ready/kafka` answers 200. */
  static start(workspace: Workspace, brokers: string, ...flags: string[]): Promise<GatewayProcess> {
    return GatewayProcess.#start([], workspace, brokers, flags)
  }

  /** The same, with a wall clock that is off by so many minutes. */
  static withClock(
    minutes: number,
    workspace: Workspace,
    brokers: string,
    ...flags: string[]
  ): Promise<GatewayProcess> {
    const shifted = `${pathToFileURL(join(kafkaFolder, 'shifted-clock.mjs')).href}?minutes=${minutes}`
    return GatewayProcess.#start(['--import', shifted], workspace, brokers, flags)
  }

  static async #start(
    node: readonly string[],
    workspace: Workspace,
    brokers: string,
    flags: readonly string[]
  ): Promise<GatewayProcess> {
    const [port, managementPort] = await freePorts(2)
    const name = `gateway-${port}`
    const ports = ['--port', String(port), '--management-port', String(managementPort)]
    const args = [
      ...node,
      '--enable-source-maps',
      main,
      'serve',
      '--brokers',
      brokers,
      '--set',
      'shutdown.drainMs=0',
      ...ports,
      ...flags
    ]
    const child = workspace.start(name, process.execPath, args)
    const at = (of: number | undefined): string => `http://127.0.0.1:${of}`
    const gateway = new GatewayProcess(at(port), at(managementPort), workspace.path(`${name}.log`), child)
    await gateway.#ready()
    return gateway
  }

  /** Everything it has logged. */
  log(): string {
    return readFileSync(this.logPath, 'utf8')
  }

  get isRunning(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  /** Asks it to end and gives back its exit code. */
  async stop(): Promise<number | null> {
    await kill(this.process, 'SIGTERM')
    return this.process.exitCode
  }

  async #ready(): Promise<void> {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
      if (!this.isRunning) break
      const answer = await fetch(`${this.managementUrl}/ready/kafka`).catch(() => undefined)
      await answer?.arrayBuffer()
      if (answer?.status === 200) return
    }
    await kill(this.process, 'SIGKILL')
    throw new Error(`the gateway did not become ready:\n${this.log()}`)
  }
}
