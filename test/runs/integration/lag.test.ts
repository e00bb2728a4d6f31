import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { readLag, sumOf, type TopicLag } from '../../../src/verbs/lag.js'
import { runCommand } from '../../cli/run-command.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const PATIENCE_MS = 30_000

/** The values of a scrape, by name and labels. */
const valuesOf = (text: string): ReadonlyMap<string, number> =>
  new Map(Array.from(text.matchAll(/^(castellan_\S+) (\S+)$/gm), ([, name, value]) => [name!, Number(value)]))

describe('the lag of a consumer group', () => {
  inWorld()
  const stage = onCluster()
  let instance: GroupInstance
  let app: App | undefined
  let topic: string
  let group: string
  before(async () => {
    instance = await stage.member({ start: 'earliest' })
  })
  beforeEach(async () => {
    topic = await stage.topic('lagging', 3)
    group = freshTopic('billing')
  })

  const read = (of = group): Promise<readonly TopicLag[]> => readLag(instance.castellan.router.ref, of, PATIENCE_MS)
  const commit = (offsets: readonly (readonly [partition: number, offset: number])[]): Promise<unknown> => {
    const asked = new Map(offsets.map(([partition, offset]) => [partition, { offset }]))
    return instance.castellan.verbs.groups.commit(group, topic, asked, PATIENCE_MS)
  }

  it('is what was written after the committed offsets; a partition without one has no lag rather than 0', async () => {
    await instance.produce(topic, 0, ['a', 'b', 'c'])
    await instance.produce(topic, 1, ['d'])
    await instance.produce(topic, 2, ['e', 'f'])
    await commit([
      [0, 1],
      [1, 1]
    ])
    const [only, ...others] = await read()
    expect(others).to.deep.equal([])
    expect(only).to.deep.equal({
      topic,
      partitions: [
        { partition: 0, committed: 1, end: 3, lag: 2 },
        { partition: 1, committed: 1, end: 1, lag: 0 },
        { partition: 2, committed: undefined, end: 2, lag: undefined }
      ],
      trouble: undefined
    })
    expect(sumOf(only!)).to.deep.equal({ partitions: 3, uncommitted: 1, lag: 2 })
    expect(await read('no-such-group')).to.deep.equal([])
  })

  it('is not known in a topic that was deleted', async () => {
    await instance.produce(topic, 0, ['a', 'b'])
    // A message that is acknowledged, so that the committed offset has the mark of its topic.
    await instance.take(group, topic, 1)
    while ((await read())[0]?.partitions[0]?.committed !== 1) await sleep(20)
    await stage.cluster.deleteTopic(topic)
    for (let attempt = 0; ; attempt++) {
      const lags = await read()
      // Kafka forgets the offsets together with the topic.
      if (lags.length === 0 || lags[0]!.trouble === 'the topic does not exist any more') break
      expect(attempt).to.be.below(100)
      await sleep(100)
    }
  })

  it('says so when a committed offset is beyond the end of the log', async () => {
    await instance.produce(topic, 0, ['a'])
    await commit([
      [0, 7],
      [1, 0]
    ])
    const [only] = await read()
    expect(only!.partitions[0]).to.deep.equal({ partition: 0, committed: 7, end: 1, lag: undefined })
    expect(only!.trouble).to.match(/beyond the end of the log/)
    expect(sumOf(only!)).to.deep.equal({ partitions: 3, uncommitted: 1, lag: 0 })
  })

  it('is exported for the groups of the list and for those served here, with its age, and goes down again', async () => {
    const served = freshTopic('served')
    app = await stage.app({
      'metrics.lag.everyMs': '1000',
      'metrics.lag.groups': `${group},never-seen`,
      'consumer.start': 'earliest'
    })
    await instance.produce(topic, 0, ['a', 'b', 'c'])
    await commit([[0, 1]])
    const consumed = await fetch(`${app.urls.shared}/pixy/topics/${topic}/messages?group=${served}`)
    expect(consumed.status, await consumed.text()).to.equal(200)
    const metrics = async () => valuesOf(await (await fetch(`${app!.urls.management}/metrics`)).text())
    const lagOf = (of: string) => `castellan_lag_records{cluster="default",group="${of}",topic="${topic}"}`
    const until = async (
      isSo: (values: ReadonlyMap<string, number>) => boolean
    ): Promise<ReadonlyMap<string, number>> => {
      for (const end = performance.now() + PATIENCE_MS; ; await sleep(50)) {
        const values = await metrics()
        if (isSo(values)) return values
        if (performance.now() > end) throw new Error([...values].filter(([name]) => name.includes('_lag_')).join('\n'))
      }
    }
    const values = await until(found => found.get(lagOf(group)) === 2 && found.has(lagOf(served)))
    expect(
      values.get(`castellan_lag_uncommitted_partitions{cluster="default",group="${group}",topic="${topic}"}`)
    ).to.equal(2)
    expect(values.get(`castellan_lag_group_readable{cluster="default",group="${group}"}`)).to.equal(1)
    expect(values.get(`castellan_lag_age_seconds{cluster="default",group="${group}"}`)).to.be.within(0, 30)
    const nothing = app.lagOf().find(row => row.group === 'never-seen')
    expect(nothing).to.deep.include({ topic: undefined, lag: undefined, trouble: 'the group has committed no offset' })
    await commit([[0, 3]])
    await until(found => found.get(lagOf(group)) === 0)
  })

  it('is listed by castellan groups', async () => {
    await instance.produce(topic, 0, ['a', 'b', 'c'])
    await commit([
      [0, 1],
      [1, 0]
    ])
    const castellan = async (...args: string[]) => {
      const { code, stdout, stderr } = await runCommand(['groups', ...args, '--brokers', stage.bootstrap])
      expect(stderr).to.equal('')
      return { code, lines: stdout.trimEnd().split('\n') }
    }
    const all = await castellan('--lag', '--format', 'json')
    const rows = all.lines.map(line => JSON.parse(line) as { readonly group: string })
    expect(rows.find(row => row.group === group)).to.deep.equal({
      group,
      topic,
      partitions: 3,
      uncommitted: 1,
      lag: 2,
      trouble: ''
    })
    const one = await castellan('--lag', group)
    expect(one.lines).to.have.length(4)
    expect(one.lines[0]).to.match(/^TOPIC +PARTITION +COMMITTED +END +LAG +TROUBLE$/)
    expect(one.lines[1]).to.match(new RegExp(`^${topic} +0 +1 +3 +2$`))
    expect(one.lines[3]).to.match(new RegExp(`^${topic} +2 +- +0 +-$`))
    const groups = await castellan('--format', 'json')
    const found = groups.lines
      .map(line => JSON.parse(line) as object)
      .find(row => 'group' in row && row.group === group)
    expect(found).to.deep.include({ type: 'classic', state: 'Empty', members: 0 })
    const missing = await runCommand(['groups', 'no-such-group', '--brokers', stage.bootstrap])
    expect(missing).to.deep.include({ code: 1, stderr: 'castellan groups list: there is no group no-such-group\n' })
  })
})
