import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import * as client from '../../src/client-with-schemas.js'
import {
  askRouter,
  type Castellan,
  loadConfig,
  openCastellan,
  type StopResult,
  silentLogger,
  startApp
} from '../../src/index.js'
import { type ConsumeManyResult, ONE_MESSAGE } from '../../src/verbs/verbs.js'
import { type LogLine, recordingLogger } from '../http/server/stage.js'
import { onBroker } from '../support/stage.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const codeOf = (asked: Promise<unknown>): Promise<string | undefined> =>
  asked.then(
    () => undefined,
    (error: { code: string }) => error.code
  )

describe('the library', () => {
  const stage = onBroker()
  let castellan: Castellan
  before(async () => {
    stage.cluster.createTopic('orders', { partitions: 2 })
    castellan = await stage.library()
  })

  /** Patient as well: kprf's two seconds are little on a machine that runs other tests. */
  const onFreePorts = (more: Record<string, string> = {}): Record<string, string> => ({
    CASTELLAN_BROKERS: stage.bootstrap,
    CASTELLAN_HTTP_PORT: '0',
    CASTELLAN_ADVANCED_HTTP_MAX_EVENT_LOOP_DELAY_MS: '0',
    CASTELLAN_MANAGEMENT_PORT: '0',
    CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
    CASTELLAN_APIS_KPRF_MESSAGE_TIMEOUT_MS: '15000',
    ...more
  })
  const topicPartition = { topic: 'orders', partition: 1 }

  it('writes by itself and through the Router, and reads it back', async () => {
    const [outcome] = await castellan.produce({ topic: 'orders', partition: 1, key: 'k', value: 'one' })
    expect(outcome).to.deep.include({ type: 'delivered', partition: 1, offset: 0 })
    const produced = await askRouter(castellan.router.ref, {
      type: 'produce',
      records: [{ topic: 'orders', partition: 1, key: null, value: 'two' }]
    })
    expect(produced.outcomes[0]).to.deep.include({ type: 'delivered', offset: 1 })

    const fetched = await askRouter(castellan.router.ref, { type: 'fetchData', topicPartition, offset: 0 })
    if (fetched.type !== 'success') throw new Error(fetched.type)
    expect(String(fetched.batch.at(0).value)).to.equal('one')
    const latest = await askRouter(castellan.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
    expect(latest).to.deep.include({ type: 'success', offset: 2 })
    expect(castellan.router.isReady).to.equal(true)
  })

  it('lets programs take functions out of what they get', async () => {
    await castellan.produceOrThrow({ topic: 'orders', partition: 0, value: 'one' })
    const taken = async () => {
      const result = await new Promise<ConsumeManyResult>(reply => {
        castellan.groups.requestMany('audit', ['orders'], ONE_MESSAGE, 30_000, { reply }, 'earliest')
      })
      if (result.type !== 'messages') throw new Error(result.type)
      return result.messages
    }
    const { messages, release } = await taken()
    release()
    const { messages: again, ack, release: releaseAgain } = await taken()
    expect(again.map(({ partition, offset }) => [partition, offset])).to.deep.equal(
      messages.map(({ partition, offset }) => [partition, offset])
    )
    ack()
    await castellan.produceOrThrow({ topic: 'orders', partition: 0, value: 'two' })
    releaseAgain()
    const next = await taken()
    const places = [again, next.messages].map(([message]) => `${message!.partition}:${message!.offset}`)
    expect(places[1], 'comes, although it is acknowledged').to.not.equal(places[0])
    next.ack()
  })

  it('acknowledges what another process has given out', async () => {
    const lines: LogLine[] = []
    const token = 'a secret of more than thirty-two bytes'
    const common = { brokers: stage.bootstrap, consumer: { start: 'earliest' } } as const
    const open = (addresses: string[]): Promise<Castellan> => {
      const log = recordingLogger(lines)
      return openCastellan({ ...common, log, peers: { addresses, listen: '127.0.0.1:0', token } })
    }
    const one = await open(['127.0.0.1:1'])
    const address = lines
      .map(({ message }) => message.match(/^listening for other gateways on (.*)/)?.[1])
      .find(Boolean)
    const other = await open([address!])
    try {
      stage.cluster.createTopic('shared')
      await castellan.produceOrThrow({ topic: 'shared', partition: 0, value: 'one' })
      const taken = await new Promise<ConsumeManyResult>(reply => {
        one.groups.requestMany('billing', 'shared', ONE_MESSAGE, 30_000, { reply })
      })
      if (taken.type !== 'messages') throw new Error(taken.type)
      const id = { topic: 'shared', partition: 0, offset: 0 }
      expect(await castellan.groups.ack('billing', id)).to.deep.equal({ type: 'notRead' })
      // The first look-up of the other process may not be over.
      let result = await other.groups.ack('billing', id)
      while (result.type === 'notRead') result = await other.groups.ack('billing', id)
      expect(result).to.deep.equal({ type: 'acked' })
    } finally {
      await Promise.all([one.close(), other.close()])
    }
  })

  it('refuses options for other processes that are not complete, and an address that is taken', async () => {
    const brokers = stage.bootstrap
    const token = 'a secret of more than thirty-two bytes'
    const opened = (peers: object): Promise<unknown> =>
      openCastellan({ brokers, peers: peers as never }).then(
        () => expect.fail('it was opened'),
        (error: Error) => `${error.name}: ${error.message}`
      )
    expect(await opened({ addresses: ['a:1'], token })).to.match(/^ConfigError: .*peers\.listen/)
    const short = await opened({ addresses: ['a:1'], listen: '127.0.0.1:0', token: 'hush' })
    expect(short)
      .to.match(/^ConfigError: .*peers\.token/)
      .and.not.contain('hush')
    expect(await opened({ addresses: ['a:1'], listen: brokers.split(',')[0], token })).to.match(
      /^ListenError: port .* is taken/
    )
  })

  it('has a durable log only when it is asked for', async () => {
    expect(castellan.durable).to.equal(undefined)
  })

  it('leaves a system it was given running, and closes once', async () => {
    const second = await openCastellan({ brokers: [stage.bootstrap], system: castellan.system })
    expect(await Promise.all([second.close(), second.close()])).to.deep.equal([0, 0])
    const latest = await askRouter(castellan.router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
    expect(latest.type).to.equal('success')
  })

  it('does not warn that no broker answers while it closes, however busy the loop is', async () => {
    const lines: LogLine[] = []
    const second = await openCastellan({
      brokers: stage.bootstrap,
      log: {
        ...recordingLogger(lines),
        debug: (_, message) => {
          const until = performance.now() + 300
          while (message === 'connection to a broker closed' && performance.now() < until);
        }
      }
    })
    await second.admin.topics()
    // It looks four times a second whether a broker answers.
    await sleep(300)
    await second.close()
    expect(lines.filter(({ level }) => level === 'warn')).to.deep.equal([])
  })

  it('says how many records closing has lost', async () => {
    const nowhere = await openCastellan({ brokers: '127.0.0.1:1' })
    const records = ['a', 'b', 'c'].map(value => ({ topic: 'orders', value }))
    expect(await nowhere.produce(records, { partitioner: 'random', deadlineMs: 60_000 }).accepted()).to.equal(undefined)
    expect(await nowhere.close({ timeoutMs: 10 })).to.equal(3)
  })

  it('runs the whole gateway in a process of another program', async () => {
    const app = await startApp(loadConfig({ environment: onFreePorts() }), { log: silentLogger, version: '0' })
    try {
      const response = await fetch(`${app.urls.management}/health-check`)
      expect((await response.json()) as object).to.deep.include({ broker: 'kafka' })
    } finally {
      const stops: StopResult[] = await Promise.all([app.stop(), app.stop()])
      expect(stops).to.deep.equal([{ lostRecords: 0 }, { lostRecords: 0 }])
    }
    const gone = await fetch(app.urls.shared).catch(() => 'gone')
    expect(gone).to.equal('gone')
  })

  it('exports these functions from its entry for clients, and none that were made for the gateway', () => {
    const names = Object.keys(client).filter(name => /^[a-z]/.test(name))
    expect(names.sort().join(' ')).to.equal(
      'ask askRouter createPrometheusMetrics defaultLogger incarnationOfTopic isLegalTopicName openCastellan ' +
        'openSchemas positionIn silentLogger sizeOfRecord topicPartitionKey'
    )
  })

  it('exports the metrics of docs/metrics.md and no others', async () => {
    const app = await startApp(loadConfig({ environment: onFreePorts() }), { log: silentLogger, version: '0' })
    try {
      const push = await fetch(`${app.urls.shared}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"records":[{"topic":"orders","data":"x"}],"wait_for_send":true}'
      })
      expect([push.status, await push.text()]).to.deep.equal([200, '{"status":"ok","errors":[]}'])
      const page = readFileSync('docs/metrics.md', 'utf8')
      const text = await (await fetch(`${app.urls.management}/metrics`)).text()
      const exported = [...text.matchAll(/^# TYPE (castellan_\w+) (\w+)$/gm)]
      expect(exported.length).to.be.greaterThan(8)
      const undocumented = exported.filter(([, name, type]) => !page.includes(`| \`${name}\` | ${type} |`))
      expect(undocumented.map(([line]) => line)).to.deep.equal([])
    } finally {
      await app.stop()
    }
  })

  it('says by receipt what became of records in the durable log', async () => {
    const own = await openCastellan({ brokers: stage.bootstrap, wal: { directory: walDirectoryOf('apps') } })
    try {
      const values = ['one', 'two']
      const records = values.map(value => ({ topic: 'orders', partition: 0, value }))
      const produced = own.produce(records, { durability: 'disk', deadlineMs: 0 })
      expect(await produced.accepted()).to.equal(undefined)
      const found = await own.receipt(produced.receipt!, { waitMs: 30_000 })
      expect(found).to.include({ count: 2, isSettled: true })
      const told = found!.records.map(record => (record.state === 'inKafka' ? record : undefined))
      const inKafka = told.map(one => String(stage.cluster.records('orders', 0)[one!.offset]!.value))
      expect(inKafka).to.deep.equal(values)
      const last = await own.receipt(produced.receipt!, { from: 1 })
      expect(last!.records).to.deep.equal(found!.records.slice(1))
      expect(await own.receipt('A'.repeat(38))).to.equal(undefined)
      for (const wrong of [{ from: -1 }, { signal: {} as AbortSignal }])
        expect(await codeOf(own.receipt('A'.repeat(38), wrong))).to.equal('invalidRequest')
    } finally {
      await own.close({ timeoutMs: 0 })
    }
    expect(await codeOf(own.receipt('A'.repeat(38)))).to.equal('shuttingDown')
  })

  it('tells a loop that begins after close, whichever way it is begun, that it is closed', async () => {
    const own = await openCastellan({ brokers: stage.bootstrap })
    const given = () => own.consume({ group: 'closed', topics: 'orders' })
    const [before, byPattern] = [given(), own.consume({ group: 'closed', pattern: 'order.*' })]
    const closing = own.close()
    const loops = [
      before.next(),
      byPattern.next(),
      given().next(),
      given().batches().next(),
      given().run(() => undefined)
    ]
    expect(await Promise.all(loops.map(codeOf))).to.deep.equal(loops.map(() => 'shuttingDown'))
    await closing
    expect(await codeOf(given().run(() => undefined))).to.equal('shuttingDown')
    const ended = own.consume({ group: 'closed', topics: 'orders', signal: AbortSignal.abort() })
    expect(await ended.next(), 'one that is over already').to.deep.equal({ done: true, value: undefined })
  })

  it('serves several clusters, and an API on a port of its own', async () => {
    const config = loadConfig({
      environment: onFreePorts({
        CASTELLAN_CLUSTERS_SECOND_BROKERS: '127.0.0.1:1',
        CASTELLAN_APIS_KPRF_PORT: '0',
        CASTELLAN_APIS_KAFKA_PIXY_ENABLED: 'false',
        CASTELLAN_APIS_QUEUES_ENABLED: 'false'
      })
    })
    const app = await startApp(config, { log: silentLogger, version: '0' })
    try {
      const push = (chunked: boolean) =>
        fetch(`${app.urls.apis.get('kprf')}/push`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: chunked ? new Blob([body]).stream() : body,
          duplex: 'half'
        } as RequestInit)
      const body = '{"records":[{"topic":"orders","data":"x"}],"wait_for_send":true}'
      for (const chunked of [false, true]) {
        const response = await push(chunked)
        expect([response.status, await response.text()]).to.deep.equal([200, '{"status":"ok","errors":[]}'])
      }
      const ready = await fetch(`${app.urls.management}/ready`)
      // Without the APIs of Kafka-Pixy and of queues no request can go to the second cluster, so it does not count that no broker of it answers.
      expect(await ready.json()).to.deep.equal({ ready: true, reasons: [], warnings: [] })
      const metrics = await (await fetch(`${app.urls.management}/metrics`)).text()
      expect(metrics).to.match(/^castellan_router_metadata_refreshes_total\{cluster="second"\} \d+$/m)
    } finally {
      await app.stop()
    }
  })
})
