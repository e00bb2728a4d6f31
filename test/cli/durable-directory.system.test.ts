import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { inspectLog } from '../../src/producer/log/inspect.js'
import { NodeDirectory } from '../../src/producer/log/node-files.js'
import { Children, Gateway } from './child.js'

/** Nobody listens there: what is accepted stays in the log. */
const NO_KAFKA = '127.0.0.1:9'
const PATIENCE_MS = 40_000
const FILLS_THE_DISK = ['wal.minFreeBytes=0', 'advanced.wal.segmentBytes=1048576']

describe('gateways and the directory of the durable log', function () {
  this.timeout(120_000)
  const children = new Children()
  let folder: string
  let directory: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-directory-'))
    directory = join(folder, 'wal')
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true, force: true })
  })

  const flags = (...settings: string[]): string[] => [
    ...['--brokers', NO_KAFKA],
    ...[`wal.directory=${directory}`, 'apis.arion.durability=disk', ...settings].flatMap(each => ['--set', each])
  ]
  const start = (...settings: string[]): Promise<Gateway> => Gateway.start(children, flags(...settings))
  const post = (gateway: Gateway, body: string): Promise<Response> =>
    fetch(`${gateway.url}/arion/async/orders`, { method: 'POST', body })
  const filesIn = (): Map<string, string> =>
    new Map(
      readdirSync(directory)
        .filter(name => statSync(join(directory, name)).isFile())
        .map(name => [name, readFileSync(join(directory, name)).toString('base64')])
    )
  async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS
    while (!(await isTrue())) {
      expect(performance.now(), what).to.be.below(giveUpAt)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  it('durable-queue 16: belong to one of them: others do not start, or answer 503 until the directory is free', async () => {
    const [first, idle] = await Promise.all([start(), start()])
    expect((await post(first, 'kept')).status).to.equal(202)
    const before = filesIn()
    const late = children.start(['serve', '--port', '0', '--management-port', '0', ...flags()])
    const refused = await post(idle, 'refused')
    expect([refused.status, await refused.json()]).to.deep.equal([
      503,
      { status: 'error', error: 'unable to enqueue message' }
    ])
    expect(refused.headers.get('retry-after')).to.match(/^[1-9]\d*$/)
    expect(refused.headers.get('x-castellan-persisted')).to.equal('no')
    expect(await late.exit()).to.not.equal(0)
    const complaint = [...late.lines, ...late.stderr.split('\n')].filter(line => /another process/.test(line))
    expect(complaint).to.have.length(1)
    expect(complaint[0]).to.contain(directory)
    expect(filesIn(), 'nobody else has touched it').to.deep.equal(before)
    expect((await post(first, 'kept as well')).status).to.equal(202)
    await first.child.stop()
    await until('the idle one takes records', async () => (await post(idle, 'taken')).status === 202)
  })

  it('arion 38: a disk without space is answered 503, other routes still work, and it recovers by itself', async function () {
    mountSmallDisk(this)
    try {
      const gateway = await start(...FILLS_THE_DISK)
      const ballast = occupySpace()
      const { accepted, answer } = await fill(gateway)
      expect(accepted).to.be.within(5, 40)
      expect([answer.status, await answer.json()]).to.deep.equal([
        503,
        { status: 'error', error: 'unable to enqueue message' }
      ])
      expect(answer.headers.get('retry-after')).to.match(/^[1-9]\d*$/)
      expect((await fetch(`${gateway.url}/arion/health-check`)).status).to.equal(200)
      const stats = (await (await fetch(`${gateway.url}/arion/stats`)).json()) as { queue: Record<string, number> }
      expect(stats.queue['in-progress']).to.equal(accepted)
      rmSync(ballast)
      await until('it takes records again', async () => (await post(gateway, 'again')).status === 202)
      await gateway.child.stop()
      expect(inspectLog(new NodeDirectory(directory)).backlog.get('default/orders')?.openEntries).to.equal(accepted + 1)
    } finally {
      execFileSync('umount', ['-l', directory])
    }
  })

  it('arion 38: a disk without space leaves synchronous requests and the drain as they were', async function () {
    mountSmallDisk(this)
    const cluster = await startEmbeddedCluster({ autoCreateTopics: false })
    try {
      cluster.createTopic('present', { partitions: 1 })
      const args = ['--brokers', cluster.bootstrap, '--set', 'delivery.createTopics=false']
      const gateway = await Gateway.start(children, [...flags(...FILLS_THE_DISK), ...args])
      await gateway.until(200)
      const ballast = occupySpace()
      const { accepted } = await fill(gateway)
      const synchronous = await gateway.push({ wait_for_send: true, records: [{ topic: 'present', data: 'sync' }] })
      expect([synchronous.status, await synchronous.json()]).to.deep.equal([200, { status: 'ok', errors: [] }])
      expect((await post(gateway, 'x'.repeat(100_000))).status, 'the disk is still full').to.equal(503)
      cluster.createTopic('orders', { partitions: 1 })
      await until('the log drains on the full disk', async () => cluster.highWatermark('orders', 0) === accepted)
      // The segments that were drained made space; the ballast is still there.
      await until('it takes records again', async () => (await post(gateway, 'again')).status === 202)
      rmSync(ballast)
      await until('they arrive', async () => cluster.highWatermark('orders', 0) === accepted + 1)
      expect(cluster.records('present', 0).map(({ value }) => String(value))).to.deep.equal(['sync'])
    } finally {
      await children.stopAll()
      await cluster.close()
      execFileSync('umount', ['-l', directory])
    }
  })

  /** In the place of the log's directory, of 8 MiB; without the right to do so, the test is skipped. */
  function mountSmallDisk(test: Mocha.Context): void {
    mkdirSync(directory)
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', directory]).status === 0) return
    console.log(
      '    SKIPPED: this user may not mount a tmpfs; test/runs/integration/arion-durable.system.test.ts fills the log itself'
    )
    test.skip()
  }

  /** @returns the file that takes most of the disk */
  function occupySpace(): string {
    const ballast = join(directory, 'ballast')
    execFileSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=1M', 'count=5'], { stdio: 'ignore' })
    return ballast
  }

  /** Appends until something else than 202 comes. */
  async function fill(gateway: Gateway): Promise<{ readonly accepted: number; readonly answer: Response }> {
    for (let accepted = 0; ; accepted++) {
      const answer = await post(gateway, 'x'.repeat(100_000))
      if (answer.status !== 202) return { accepted, answer }
    }
  }
})
