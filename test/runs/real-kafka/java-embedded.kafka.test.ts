import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { runTool } from './java-tools.js'

const lines = (text: string): string[] => text.split('\n').filter(line => line !== '')

describe("Kafka's Java clients and tools against the embedded broker", () => {
  let cluster: EmbeddedCluster
  let bootstrap: string[]
  const folder = mkdtempSync(join(tmpdir(), 'castellan-java-'))
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3 })
    bootstrap = ['--bootstrap-server', cluster.bootstrap]
  })
  after(async () => {
    rmSync(folder, { recursive: true })
    await cluster?.close()
  })

  const stored = (topic: string, partitions: number): string[] =>
    Array.from({ length: partitions }, (_, partition) => cluster.records(topic, partition))
      .flat()
      .map(record => `${record.key}=${record.value}`)

  it('kafka-topics creates, describes, grows, lists and deletes', async () => {
    await runTool('topics', [
      ...bootstrap,
      '--create',
      '--topic',
      'made',
      '--partitions',
      '2',
      '--replication-factor',
      '3'
    ])
    expect(await runTool('topics', [...bootstrap, '--describe', '--topic', 'made'])).to.match(/PartitionCount: 2/)
    await runTool('topics', [...bootstrap, '--alter', '--topic', 'made', '--partitions', '4'])
    expect(await runTool('topics', [...bootstrap, '--describe', '--topic', 'made'])).to.match(/PartitionCount: 4/)
    expect(lines(await runTool('topics', [...bootstrap, '--list']))).to.include('made')
    await runTool('topics', [...bootstrap, '--delete', '--topic', 'made'])
    expect(lines(await runTool('topics', [...bootstrap, '--list']))).to.not.include('made')
  })

  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    it(`kafka-console-producer and kafka-console-consumer with ${codec}`, async () => {
      const topic = `console-${codec}`
      cluster.createTopic(topic, { partitions: 3, replicationFactor: 3 })
      const records = Array.from({ length: 200 }, (_, index) => `k${index}=${codec} ${index}`)
      const keyed = ['--property', 'parse.key=true', '--property', 'key.separator==', '--compression-codec', codec]
      await runTool('consoleProducer', [...bootstrap, '--topic', topic, ...keyed], { input: `${records.join('\n')}\n` })
      expect(stored(topic, 3).sort().join()).to.equal(records.toSorted().join())

      const whole = ['--from-beginning', '--max-messages', '200', '--timeout-ms', '30000']
      const withKeys = ['--property', 'print.key=true', '--property', 'key.separator==']
      const output = await runTool('consoleConsumer', [...bootstrap, '--topic', topic, ...whole, ...withKeys])
      expect(
        lines(output)
          .filter(line => line.includes('='))
          .sort()
          .join()
      ).to.equal(records.toSorted().join())
    })
  }

  it('kafka-verifiable-producer writes and kafka-verifiable-consumer reads in a group', async () => {
    cluster.createTopic('verified', { partitions: 4, replicationFactor: 3 })
    const produced = await runTool('verifiableProducer', [...bootstrap, '--topic', 'verified', '--max-messages', '500'])
    expect(produced).to.match(/"name":"tool_data".*"acked":500|"acked":500.*"name":"tool_data"/)
    const group = ['--group-id', 'verifiers', '--max-messages', '500', '--reset-policy', 'earliest']
    const consumed = await runTool('verifiableConsumer', [...bootstrap, '--topic', 'verified', ...group])
    const counts = lines(consumed)
      .map(line => JSON.parse(line) as { name: string; count?: number })
      .filter(event => event.name === 'records_consumed')
      .map(event => event.count ?? 0)
    expect(counts.reduce((sum, count) => sum + count, 0)).to.equal(500)
  })

  it('kafka-consumer-groups lists, describes, resets and deletes a group', async () => {
    cluster.createTopic('counted', { partitions: 2, replicationFactor: 3 })
    await runTool('consoleProducer', [...bootstrap, '--topic', 'counted'], { input: 'a\nb\nc\n' })
    const asGroup = ['--group', 'counters', '--from-beginning', '--max-messages', '3', '--timeout-ms', '30000']
    await runTool('consoleConsumer', [...bootstrap, '--topic', 'counted', ...asGroup])
    expect(lines(await runTool('consumerGroups', [...bootstrap, '--list']))).to.include('counters')

    const lag = async (): Promise<number> =>
      lines(await runTool('consumerGroups', [...bootstrap, '--describe', '--group', 'counters']))
        .filter(line => line.startsWith('counters'))
        .map(line => Number(line.split(/\s+/)[5]))
        .reduce((sum, of) => sum + of, 0)
    expect(await lag()).to.equal(0)
    const reset = ['--reset-offsets', '--to-earliest', '--topic', 'counted', '--group', 'counters', '--execute']
    await runTool('consumerGroups', [...bootstrap, ...reset])
    expect(await lag()).to.equal(3)
    await runTool('consumerGroups', [...bootstrap, '--delete', '--group', 'counters'])
    expect(lines(await runTool('consumerGroups', [...bootstrap, '--list']))).to.not.include('counters')
  })

  it('the perf tools write and read every record', async () => {
    cluster.createTopic('performed', { partitions: 4, replicationFactor: 3 })
    const load = ['--num-records', '20000', '--record-size', '100', '--throughput', '-1']
    const properties = ['--producer-props', `bootstrap.servers=${cluster.bootstrap}`, 'acks=all']
    expect(await runTool('producerPerformance', ['--topic', 'performed', ...load, ...properties])).to.match(
      /20000 records sent/
    )
    expect(stored('performed', 4)).to.have.length(20_000)
    const read = ['--topic', 'performed', '--messages', '20000', '--timeout', '30000']
    expect(await runTool('consumerPerformance', [...bootstrap, ...read])).to.match(/, 20000, /)
  })

  it('kafka-get-offsets and kafka-delete-records agree on where a partition begins and ends', async () => {
    cluster.createTopic('cut', { partitions: 1, replicationFactor: 3 })
    await runTool('consoleProducer', [...bootstrap, '--topic', 'cut'], { input: 'a\nb\nc\n' })
    const offset = (time: string): Promise<string> =>
      runTool('getOffsets', [...bootstrap, '--topic', 'cut', '--time', time])
    expect((await offset('latest')).trim()).to.equal('cut:0:3')
    expect((await offset('earliest')).trim()).to.equal('cut:0:0')
    const plan = join(folder, 'delete.json')
    writeFileSync(plan, JSON.stringify({ version: 1, partitions: [{ topic: 'cut', partition: 0, offset: 2 }] }))
    await runTool('deleteRecords', [...bootstrap, '--offset-json-file', plan])
    expect((await offset('earliest')).trim()).to.equal('cut:0:2')
    expect((await offset('latest')).trim()).to.equal('cut:0:3')
  })
})
