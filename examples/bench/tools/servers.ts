import { type ChildProcess, spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Child } from './child.js'
import { DIST } from './in-process.js'

const MAIN = fileURLToPath(new URL('main.js', DIST))
const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 15_000

/** A server process under load. */
export interface Server {
  readonly pid: number
  readonly port: number
  stop(): Promise<void>
}

export async function startFloor(): Promise<Server> {
  const { child, ready } = await Child.start<{ port: number }>('./floor.ts')
  return { pid: child.pid, port: ready.port, stop: () => child.stop() }
}

/** A gateway, and where it answers probes. */
export interface Gateway extends Server {
  readonly managementPort: number
}

/** A gateway as a user starts it, at default settings but for the ports and what `settings`, a file of them, says. */
export async function startGateway(
  bootstrap: string,
  nodeFlags: readonly string[] = [],
  settings?: string,
  further: readonly string[] = [],
  /** The command that runs it: `taskset -c 0`. */
  under: readonly string[] = []
): Promise<Gateway> {
  const [port, managementPort] = [await freePort(), await freePort()]
  const ports = ['--port', String(port), '--management-port', String(managementPort)]
  const flags = ['serve', ...ports, '--brokers', bootstrap, '--set', 'shutdown.drainMs=0', ...further]
  if (settings !== undefined) flags.push('--config', settings)
  const inherited = process.env.BENCH_NODE_FLAGS?.split(' ').filter(Boolean) ?? []
  const [command, ...args] = [...under, process.execPath, ...inherited, ...nodeFlags, MAIN, ...flags]
  const child = spawn(command!, args, {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  process.once('exit', () => child.kill('SIGKILL'))
  const output = keepTail(child)
  await answering(port, child, output)
  return { pid: child.pid!, port, managementPort, stop: () => stopProcess(child) }
}

/** Any server, started by a command line of a shell; it and what it starts end together. */
export async function startCommand(command: string, port: number): Promise<Server> {
  const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const end = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal)
    } catch {
      // It has ended by itself.
    }
  }
  process.once('exit', () => end('SIGKILL'))
  await answering(port, child, keepTail(child))
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    end('SIGTERM')
    const timer = setTimeout(() => end('SIGKILL'), STOP_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
    end('SIGKILL')
  }
  return { pid: child.pid!, port, stop }
}

/** The last lines a process printed, for when it fails. */
function keepTail(child: ChildProcess): () => string {
  let tail = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    tail = (tail + chunk.toString()).slice(-4000)
  })
  return () => tail
}

async function answering(port: number, child: ChildProcess, output: () => string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with code ${child.exitCode}:\n${output()}`)
    if (await isListening(port)) return
    if (performance.now() > deadline)
      throw new Error(`the server did not listen within ${START_TIMEOUT_MS} ms:\n${output()}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** The shared port is opened after everything else, and may speak TLS. */
const isListening = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** SIGTERM, as an operator would; SIGKILL when that takes too long. */
async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(timer)
}

/** A port that is free at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

/** Writes one record and waits until Kafka has it: the topic is known from then on. */
export async function pushOne(port: number, topic: string, partition?: number): Promise<void> {
  if (!(await tryPush(port, topic, partition))) throw new Error(`a first record could not be written to ${topic}`)
}

/** @returns whether the record is in Kafka */
export async function tryPush(port: number, topic: string, partition?: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/kprf/push`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ records: [{ topic, data: 'x', partition }], wait_for_send: true })
  })
  await response.arrayBuffer()
  return response.ok
}
