import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, Gateway } from '../cli/child.js'
import { load } from '../kill/load.js'
import { idOf } from '../kill/messages.js'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { explain, History, type Logged } from '../support/history-checker.js'
import { SeededRandom, testSeed } from '../support/random.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

const PARTITIONS = 3
const KILLS = 4
/** Records that each process acknowledges before it is killed. */
const OK_PER_PROCESS = 25
const PATIENCE_MS = 60_000

describe('records that are kept on disk', function () {
  this.timeout(400_000)
  const children = new Children()
  let cluster: TargetCluster
  let castellan: Castellan
  let folder: string
  before(async () => {
    cluster = await targetCluster()
    castellan = await startCastellan(cluster.bootstrap)
  })
  after(async () => {
    await castellan?.close()
    await cluster?.close()
  })
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-durable-'))
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true })
  })

  const startGateway = (): Promise<Gateway> => {
    const settings = { 'apis.arion.durability': 'disk', 'wal.directory': folder }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    return Gateway.start(children, ['--brokers', cluster.bootstrap, ...flags])
  }

  async function everythingIn(topic: string): Promise<Logged[]> {
    const all: Logged[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      for (const { offset, key, value } of await castellan.readAll(topic, partition)) {
        all.push({ topic, partition, offset, key: String(key), value: String(value) })
      }
    }
    return all
  }

  /** Until nothing comes any more: what an earlier process has left is delivered. */
  async function drained(topic: string, atLeast: number): Promise<Logged[]> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let before = -1; ; ) {
      const all = await everythingIn(topic)
      if ((all.length >= atLeast && all.length === before) || performance.now() > giveUpAt) return all
      before = all.length
      await sleep(500)
    }
  }

  it('durable-queue: are neither lost, doubled nor reordered when the gateway is killed again and again', async () => {
    const topic = freshTopic('killed')
    await cluster.createTopic(topic, PARTITIONS)
    const seed = testSeed()
    const random = new SeededRandom(seed)
    const history = new History()
    for (let incarnation = 0; incarnation <= KILLS; incarnation++) {
      const gateway = await startGateway()
      let isStopped = false
      const clients = (['async', 'async', 'sync'] as const).map((mode, client) =>
        load(mode, {
          name: `life${incarnation}-client${client}`,
          url: gateway.url,
          topic,
          keys: [`${client}-a`, `${client}-b`, `${client}-c`],
          maxValueBytes: 2_000,
          random,
          history,
          isStopped: () => isStopped
        })
      )
      await sleep(random.between(300, 1_500))
      // On a busy machine a process is killed later, but never before it has acknowledged something.
      while (history.okCount < (incarnation + 1) * OK_PER_PROCESS) await sleep(10)
      gateway.child.process.kill('SIGKILL')
      isStopped = true
      await Promise.all(clients)
    }
    const last = await startGateway()
    const all = await drained(topic, history.okCount)
    const verdict = history.check(all, idOf, { areLostOnesOrdered: true })
    expect(verdict.violations, `seed ${seed}: ${explain(verdict)}`).to.deep.equal([])
    expect(verdict.ok).to.be.at.least(KILLS * OK_PER_PROCESS)
    expect(await last.child.stop()).to.equal(0)
  })
})
