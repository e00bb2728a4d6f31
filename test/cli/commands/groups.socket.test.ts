import { expect } from 'chai'
import { type Castellan, openCastellan, type QueueMessage } from '../../../src/client.js'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/testing.js'
import { type Outcome, runCommand } from '../run-command.js'

describe('castellan groups', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let castellan: Castellan
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 2, defaultPartitions: 2 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
    await castellan.produceOrThrow([0, 1, 1].map(partition => ({ topic: 'jobs', partition, value: 'job' })))
    await castellan.admin.setOffsets('billing', [{ topic: 'jobs', partition: 0, offset: 0 }])
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const taken: QueueMessage[] = []
    while (taken.length < 3) taken.push(...(await queue.acquire({ count: 3, start: 'earliest', waitMs: 10_000 })))
    const firsts = [0, 1].map(partition => taken.find(message => message.partition === partition)!)
    for (const first of firsts) expect(await first.accept()).to.include({ outcome: 'done' })
  })
  after(async () => {
    await castellan?.close()
    await cluster.close()
  })

  const groups = (...words: readonly string[]): Promise<Outcome> =>
    runCommand(['groups', ...words, '--brokers', cluster.bootstrap, '--format', 'json'])
  const rowsOf = ({ code, stdout, stderr }: Outcome): Record<string, unknown>[] => {
    expect([code, stderr]).to.deep.equal([0, ''])
    return stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
  }

  it('lists share groups among the others, with their kind', async () => {
    const rows = rowsOf(await groups())
    expect(rows.map(({ group, type, state, members }) => [group, type, state, members])).to.deep.equal([
      ['billing', 'classic', 'Empty', 0],
      ['workers', 'share', 'Stable', 1]
    ])
    for (const { coordinator } of rows) expect(coordinator).to.be.a('number')
  })

  it('describes a share group by its members', async () => {
    const [row, ...more] = rowsOf(await groups('workers'))
    expect(more).to.deep.equal([])
    expect(row).to.include({ partitions: 'jobs/0,1' })
    expect(row!.host).to.match(/127\.0\.0\.1/)
  })

  it('lists the lag of share groups, and has it for each partition', async () => {
    expect(rowsOf(await groups('--lag'))).to.deep.equal([
      { group: 'billing', topic: 'jobs', partitions: 2, uncommitted: 1, lag: 1, trouble: '' },
      { group: 'workers', topic: 'jobs', partitions: 2, uncommitted: 0, lag: 1, trouble: '' }
    ])
    const rows = rowsOf(await groups('--lag', 'workers'))
    expect(rows.map(({ topic, partition, end }) => [topic, partition, end])).to.deep.equal([
      ['jobs', 0, null],
      ['jobs', 1, null]
    ])
    expect(rows.reduce((sum, { lag }) => sum + Number(lag), 0)).to.equal(1)
  })

  it('deletes groups without members, one after the other, only with --yes', async () => {
    for (const group of ['old', 'older'])
      await castellan.admin.setOffsets(group, [{ topic: 'jobs', partition: 0, offset: 1 }])
    const remove = (...words: readonly string[]): Promise<Outcome> =>
      runCommand(['groups', 'delete', ...words, '--brokers', cluster.bootstrap])
    const names = async (): Promise<unknown[]> => rowsOf(await groups()).map(({ group }) => group)

    const asked = await remove('old')
    expect([asked.code, asked.stdout]).to.deep.equal([1, ''])
    expect(asked.stderr).to.match(/^castellan groups delete: old: .*add --yes\n$/)
    expect(await names()).to.include.members(['old', 'older'])

    const done = await remove('old', 'nobody', 'older', 'workers', '--yes')
    expect([done.code, done.stdout]).to.deep.equal([1, 'old\nolder\n'])
    expect(done.stderr).to.match(/^castellan groups delete: nobody: .*\ncastellan groups delete: workers: .*\n$/)
    expect(await names()).to.deep.equal(['billing', 'workers'])
  })

  it('lists a group that has the name of a command', async () => {
    await castellan.admin.setOffsets('delete', [{ topic: 'jobs', partition: 0, offset: 1 }])
    expect(rowsOf(await groups('list', '--lag', 'delete'))[0]).to.include({ topic: 'jobs', committed: 1 })
    await castellan.admin.deleteGroups('delete')
  })

  it('says that there is no such group of any kind', async () => {
    expect(await groups('nobody')).to.deep.include({
      code: 1,
      stderr: 'castellan groups list: there is no group nobody\n'
    })
    expect((await groups('--lag', 'nobody')).stderr).to.match(/group nobody has committed no offset, or does not exist/)
  })
})
