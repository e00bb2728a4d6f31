import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../../src/embedded-broker/start-embedded-cluster.js'
import { freePorts } from '../../../runs/real-kafka/ports.js'
import { readSyncTrace, type SyncTraceRules } from './sync-trace.js'

const REQUESTS = 10_000
const CONNECTIONS = 32
const CALLS = 'trace=read,write,writev,pwrite64,fdatasync'

/** Every answer 202 acknowledges the oldest request of its connection that has none. */
function rulesOfHttp(): SyncTraceRules {
  const asked = new Map<string, string[]>()
  return {
    id: /id-\d{6}/g,
    received: (text, descriptor) => {
      const ids = text.match(/(?<=\\n)id-\d{6}/g)
      if (ids) asked.set(descriptor, [...(asked.get(descriptor) ?? []), ...ids])
    },
    acknowledged: (text, descriptor) => {
      const answers = text.match(/HTTP\/1\.1 202/g)?.length ?? 0
      return asked.get(descriptor)?.splice(0, answers) ?? []
    }
  }
}

describe('answers of the gateway', function () {
  this.timeout(400_000)
  let directory: string
  let cluster: EmbeddedCluster
  let gateway: ChildProcess | undefined

  before(function () {
    if (spawnSync('which', ['strace']).status === 0) return
    console.log('    SKIPPED: strace is not installed (Debian: apt-get install strace)')
    this.skip()
  })
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-answers-'))
    cluster = await startEmbeddedCluster()
  })
  afterEach(async () => {
    if (gateway && gateway.exitCode === null) process.kill(tracedBy(gateway), 'SIGKILL')
    await cluster?.close()
    if (directory) rmSync(directory, { recursive: true, force: true })
  })

  it('durable-queue 13: 10,000 of them say 202, each after the fdatasync that covers its record', async () => {
    const [port, managementPort] = await freePorts(2)
    const trace = join(directory, 'trace')
    const settings = ['apis.arion.durability=disk', `wal.directory=${join(directory, 'wal')}`]
    gateway = spawn(
      'strace',
      [
        ...['-f', '-y', '-qq', '--seccomp-bpf', '-s', '1000000', '-o', trace, '-e', CALLS],
        ...[process.execPath, 'dist/main.js', 'serve', '--brokers', cluster.bootstrap],
        ...['--port', String(port), '--management-port', String(managementPort), '--set', 'shutdown.drainMs=0'],
        ...settings.flatMap(setting => ['--set', setting])
      ],
      { stdio: 'ignore' }
    )
    await ready(`http://127.0.0.1:${managementPort}/ready/kafka`)
    let next = 0
    const client = async (): Promise<void> => {
      while (next < REQUESTS) {
        const id = `id-${String(next++).padStart(6, '0')}`
        const answer = await fetch(`http://127.0.0.1:${port}/arion/async/traced`, { method: 'POST', body: `\n${id}` })
        await answer.arrayBuffer()
        expect(answer.status).to.equal(202)
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, client))
    process.kill(tracedBy(gateway), 'SIGTERM')
    await once(gateway, 'exit')
    const lines: string[] = []
    for await (const line of createInterface({ input: createReadStream(trace) })) lines.push(line)
    const result = readSyncTrace(lines, rulesOfHttp())
    expect(result).to.deep.include({ answered: REQUESTS, tooEarly: [], failedSyncs: 0 })
  })
})

/** A signal for strace itself would only end the trace. */
/** Never 0, which would be everybody of this process's group. */
function tracedBy({ pid }: ChildProcess): number {
  const traced = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0])
  if (traced === 0) throw new Error('the traced gateway has ended')
  return traced
}

async function ready(url: string): Promise<void> {
  for (const deadline = performance.now() + 90_000; performance.now() < deadline; await sleep(50)) {
    const answer = await fetch(url).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.status === 200) return
  }
  throw new Error(`${url} was not answered 200 in time`)
}
