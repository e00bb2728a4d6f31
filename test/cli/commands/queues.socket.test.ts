import { expect } from 'chai'
import { type Castellan, openCastellan } from '../../../src/client.js'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../../src/testing.js'
import { TestShareMember } from '../../support/share-session.js'
import { type Outcome, runCommand } from '../run-command.js'

describe('castellan queues', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let castellan: Castellan
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ defaultPartitions: 2 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
    await castellan.produceOrThrow([0, 0, 1].map(partition => ({ topic: 'jobs', partition, value: 'job' })))
    const member = new TestShareMember(castellan.router.ref, 'workers')
    await member.join('jobs')
    await member.leave()
  })
  afterEach(async () => {
    await castellan.close()
    await cluster.close()
  })

  const queues = (...words: readonly string[]): Promise<Outcome> =>
    runCommand(['queues', ...words, '--brokers', cluster.bootstrap])
  const out = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await queues(...words)
    expect([code, stderr]).to.deep.equal([0, ''])
    return stdout
  }
  const reset = (...words: readonly string[]) => out('reset', 'jobs', 'workers', '--format', 'json', ...words)

  it('lists groups with their topics, moves one, and shows where it stands', async () => {
    expect(await reset('--to', 'latest', '--yes')).to.equal(
      '{"partition":0,"from":null,"to":2}\n{"partition":1,"from":null,"to":1}\n'
    )
    expect(await out()).to.equal('GROUP    STATE  MEMBERS  TOPICS\nworkers  Empty        0  jobs\n')
    const group = { group: 'workers', state: 'Empty', members: 0, topics: ['jobs'] }
    expect(JSON.parse(await out('list', '--format', 'json'))).to.deep.equal(group)
    expect(await reset('--to', '0=1', '--dry-run')).to.equal('{"partition":0,"from":2,"to":1}\n')
    expect(await out('describe', 'jobs', 'workers')).to.equal(
      'Empty, members: 0, start: latest, lockMs: 30000, deliveryLimit: 5, deadLetters: -, isolation: readUncommitted\n' +
        'PARTITION  START  LAG\n        0      2    0\n        1      1    0\n'
    )
    expect(await reset('--to', '1970-01-01T00:00:00Z', '--yes')).to.equal(
      '{"partition":0,"from":2,"to":0}\n{"partition":1,"from":1,"to":0}\n'
    )
  })

  it('moves nothing without --yes, and to no place that there is not', async () => {
    const words = ['reset', 'jobs', 'workers', '--to']
    const refusals: [string[], RegExp, number][] = [
      [[...words, 'latest'], /add --yes, or look with --dry-run/, 1],
      [[...words, '0=9', '--yes'], /jobs\/0 has no offset 9: they are from 0 to 2/, 1],
      [
        [...words, 'now', '--yes'],
        /--to takes earliest, latest, a time such as 2026-11-20T12:00:00Z, or 0=12,1=30, not "now"/,
        2
      ],
      [['reset', 'jobs', 'workers', '--yes'], /--to/, 2],
      [['reset', 'jobs', 'none', '--to', 'latest', '--yes'], /there is no share group none/, 1],
      [['describe', 'jobs', 'none'], /there is no share group none/, 1]
    ]
    for (const [asked, line, expected] of refusals) {
      const { code, stdout, stderr } = await queues(...asked)
      expect([code, stdout], asked.join(' ')).to.deep.equal([expected, ''])
      expect(stderr).to.match(line)
    }
  })
})
