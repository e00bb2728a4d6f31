import { expect } from 'chai'
import kafkajs from 'kafkajs'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/testing.js'
import { type Outcome, runCommand } from '../run-command.js'

describe('castellan topics, with brokers', () => {
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 2, defaultPartitions: 3 })
  })
  after(() => cluster.close())
  afterEach(() => cluster.faults.clear())

  const topics = (...words: readonly string[]): Promise<Outcome> =>
    runCommand(['topics', ...words, '--brokers', cluster.bootstrap])
  const done = (stdout: string): Outcome => ({ code: 0, stdout, stderr: '' })
  const failed = (stderr: string): Outcome => ({ code: 1, stdout: '', stderr })

  it('create makes a topic as it is told, which list shows until delete removes it', async () => {
    const config = ['--config', 'cleanup.policy=compact', '--config', 'min.insync.replicas=2']
    const created = await topics('create', 'orders', '--partitions', '6', '--replicas', '2', ...config)
    const row = 'TOPIC   PARTITIONS  REPLICAS\norders           6         2\n'
    expect(created).to.deep.equal(done(row))
    const admin = new kafkajs.Kafka({
      brokers: [cluster.bootstrap.split(',')[0]!],
      logLevel: kafkajs.logLevel.NOTHING
    }).admin()
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: 'orders' }]
    const described = (await admin.describeConfigs({ resources, includeSynonyms: false })).resources[0]!
    await admin.disconnect()
    const settings = Object.fromEntries(described.configEntries.map(entry => [entry.configName, entry.configValue]))
    expect(settings).to.include({ 'cleanup.policy': 'compact', 'min.insync.replicas': '2' })
    for (const list of [[], ['list']]) expect(await topics(...list)).to.deep.equal(done(row))
    expect(await topics('delete', 'orders')).to.deep.equal(done('orders\n'))
    expect(await topics('list', '--format', 'json')).to.deep.equal(done(''))
  })

  it('create leaves to the brokers what it is not told', async () => {
    const created = await topics('create', 'by.default', '--format', 'json')
    expect(created).to.deep.equal(done('{"topic":"by.default","partitions":3,"replicas":2,"leaderless":0}\n'))
    await topics('delete', 'by.default')
  })

  it('create tells in a line why the brokers refuse', async () => {
    await topics('create', 'taken')
    const refused: readonly (readonly [readonly string[], string])[] = [
      [['taken'], "Topic 'taken' already exists."],
      [['wide', '--replicas', '3'], 'Replication factor 3 with 2 brokers.'],
      [['wrong', '--config', 'cleanup.polcy=compact'], 'Unknown topic config name: cleanup.polcy']
    ]
    for (const [words, why] of refused)
      expect(await topics('create', ...words)).to.deep.equal(failed(`castellan topics create: ${why}\n`))
    expect((await topics()).stdout).to.match(/^TOPIC .*\ntaken .*\n$/)
    await topics('delete', 'taken')
  })

  it('create refuses a setting without a value, and numbers that no topic has', async () => {
    const wrong: readonly (readonly [readonly string[], string])[] = [
      [['--config', 'castellan.yaml'], '--config takes NAME=VALUE, such as cleanup.policy=compact'],
      [['--partitions', '0'], '--partitions takes a whole number of at least 1'],
      [['--replicas', '32768'], '--replicas takes a whole number of at least 1 and at most 32767, not "32768"'],
      [['--castellan-config', 'none.yaml'], 'cannot read none.yaml (ENOENT); it must be a YAML file'],
      [['-c', 'castellan.yaml'], 'unknown flag -c; did you mean --castellan-config?'],
      [['--replication-factor', '2'], 'unknown flag --replication-factor; did you mean --replicas?']
    ]
    for (const [words, problem] of wrong) {
      const { code, stderr } = await topics('create', 'a', ...words)
      expect([code, stderr.startsWith(`castellan topics create: ${problem}`)], stderr).to.deep.equal([2, true])
    }
    expect((await topics('--format', 'json')).stdout).to.equal('')
  })

  it('delete removes the others when one of the topics does not exist, and exits with 1', async () => {
    for (const name of ['a', 'b', 'kept']) await topics('create', name)
    const { code, stdout, stderr } = await topics('delete', 'a', 'nope', 'b')
    expect([code, stdout]).to.deep.equal([1, 'a\nb\n'])
    expect(stderr).to.match(/^castellan topics delete: nope: UNKNOWN_TOPIC_OR_PARTITION .*\n$/)
    expect((await topics('list', '--format', 'json')).stdout).to.match(/^{"topic":"kept".*\n$/)
    await topics('delete', 'kept')
  })

  it('each tells at once that no broker answers', async () => {
    for (const words of [['create', 'a'], ['delete', 'a'], ['list']]) {
      const { code, stderr } = await runCommand(['topics', ...words, '--brokers', '127.0.0.1:1'])
      expect(code).to.equal(1)
      expect(stderr).to.match(/^castellan topics \w+: no connection to 127.0.0.1:1: connection refused; .*\n$/)
    }
  })
})
