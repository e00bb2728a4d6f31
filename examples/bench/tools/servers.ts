import { type ChildProcess, spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Child } from './child.js'
import { DIST } from './in-process.js'
import { OWN_FOLDER } from './own-folder.js'

const MAIN = fileURLToPath(new URL('main.js', DIST))
const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 15_000

/** A server process under load. */
export interface Server {
  readonly pid: number
  readonly port: number
  stop(): Promise<void>
}

export async function startFloor(node = process.execPath): Promise<Server> {
  const { child, ready } = await Child.start<{ port: number }>('./floor.ts', {}, [], node)
  return { pid: child.pid, port: ready.port, stop: () => child.stop() }
}

/** A gateway, and the address of its probes. */
export interface Gateway extends Server {
  readonly managementPort: number
}

/**
 * Starts a gateway by its command line. All settings have their defaults, except for the ports and the settings in the
 * file `settings`.
 */
export async function startGateway(
  bootstrap: string,
  nodeFlags: readonly string[] = [],
  settings?: string,
  further: readonly string[] = [],
  /** A command that runs the gateway, for example `taskset -c 0`. */
  under: readonly string[] = [],
  /** The Node that runs it. */
  node = process.execPath
): Promise<Gateway> {
  const [port, managementPort] = [await freePort(), await freePort()]
  const ports = ['--port', String(port), '--management-port', String(managementPort)]
  const flags = ['serve', ...ports, '--brokers', bootstrap, '--set', 'shutdown.drainMs=0', ...further]
  if (settings !== undefined) flags.push('--config', settings)
  const inherited = process.env.BENCH_NODE_FLAGS?.split(' ').filter(Boolean) ?? []
  const [command, ...args] = [...under, node, ...inherited, ...nodeFlags, MAIN, ...flags]
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: OWN_FOLDER })
  process.once('exit', () => child.kill('SIGKILL'))
  const output = keepTail(child)
  await answering(port, child, output)
  return { pid: child.pid!, port, managementPort, stop: () => stopProcess(child) }
}

/** Starts any server by a shell command. Stopping it also ends its child processes. */
export async function startCommand(command: string, port: number): Promise<Server> {
  const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const end = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal)
    } catch {
      // The process has already ended.
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

/** Keeps the last lines that a process has printed, for error messages. */
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

/** Whether the shared port is open. It is opened last. Only TCP is tested, because it may use TLS. */
const isListening = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** Stops a process with SIGTERM. If that takes too long, kills it with SIGKILL. */
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

/** Writes one record and waits until Kafka has it. The gateway then knows the topic. */
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
