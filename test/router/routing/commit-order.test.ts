import { expect } from 'chai'
import type { CommitConsumerOffsetResult } from '../../../src/router/messages/operations.js'
import { landed } from '../../../src/router/processors/commit-consumer-offset.js'
import { answerTimedOut, type OpenRequest, reply } from '../../../src/router/requests/open-requests.js'
import { CommitOrder } from '../../../src/router/routing/group-routing.js'
import { ProcessorStage } from '../processors/stage.js'

const A = { topic: 'perf', partition: 1 }
const B = { topic: 'api', partition: 17 }
type Commit = OpenRequest<'commitConsumerOffset'>

class LinesStage extends ProcessorStage {
  readonly turns: string[] = []
  readonly lines = new CommitOrder(key => this.turns.push(key))
  readonly told: string[] = []

  make(who: string, groupId: string, topicPartition: typeof A, offset: number, replacesWaiting = false): Commit {
    const results: CommitConsumerOffsetResult[] = []
    results.push = result => this.told.push(`${who}: ${summaryOf(result)}`)
    const fields = { groupId, topicPartition, offsetAndMetadata: { offset }, replacesWaiting }
    return this.accept('commitConsumerOffset', fields, results)
  }

  /** Gives what the commit was told to do, and what others were told by it. */
  enter(who: string, groupId: string, topicPartition: typeof A, offset: number): [string, ...string[]] {
    return [this.lines.enter(this.make(who, groupId, topicPartition, offset)), ...this.newly()]
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  send(commit: Commit): void {
    commit.state.inFlight = true
    commit.state.wasSent = true
  }
}

const summaryOf = (result: CommitConsumerOffsetResult): string =>
  result.type === 'superseded'
    ? `superseded ${result.offsetAndMetadata.offset} by ${result.supersededBy.offset}`
    : result.type

describe('the order of commits', () => {
  let stage: LinesStage
  let lines: CommitOrder
  beforeEach(() => {
    stage = new LinesStage()
    lines = stage.lines
  })

  it('castle 14 lets the highest offset of a group and partition wait, and tells the others what took their place', () => {
    expect(stage.enter('one', 'c1', A, 100)).to.deep.equal(['go'])
    expect(stage.enter('one', 'c1', A, 200)).to.deep.equal(['go', 'one: superseded 100 by 200'])
    expect(stage.enter('one', 'c1', A, 17)).to.deep.equal(['answered', 'one: superseded 17 by 200'])
    expect(stage.enter('two', 'c1', A, 23)).to.deep.equal(['answered', 'two: superseded 23 by 200'])
    expect(stage.enter('two', 'c1', A, 309)).to.deep.equal(['go', 'one: superseded 200 by 309'])
    expect(stage.enter('two', 'c1', B, 11)).to.deep.equal(['go'])
    expect(stage.enter('two', 'c1', B, 43)).to.deep.equal(['go', 'two: superseded 11 by 43'])
    expect(stage.enter('one', 'c1', B, 43)).to.deep.equal(['answered', 'one: superseded 43 by 43'])
    expect(stage.enter('one', 'c2', A, 10)).to.deep.equal(['go'])
    expect(stage.enter('one', 'c2', A, 55)).to.deep.equal(['go', 'one: superseded 10 by 55'])
    expect(lines.size).to.equal(3)
  })

  it("lets the setting of a group's place go over commits that wait, whatever their offset", () => {
    lines.enter(stage.make('acked', 'g', A, 100))
    const set = stage.make('set', 'g', A, 0, true)
    expect([lines.enter(set), stage.newly()]).to.deep.equal(['go', ['acked: superseded 100 by 0']])
    stage.send(set)
    expect(stage.enter('acked', 'g', A, 7)).to.deep.equal(['wait'])
    expect(lines.enter(stage.make('again', 'g', A, 3, true))).to.equal('wait')
    expect(stage.newly()).to.deep.equal(['acked: superseded 7 by 3'])
    expect(stage.enter('late', 'g', A, 2)).to.deep.equal(['answered', 'late: superseded 2 by 3'])
  })

  it('lets nothing follow a commit on its way, not even when that has been answered by its deadline', () => {
    const first = stage.make('one', 'g', A, 100)
    lines.enter(first)
    stage.send(first)
    const next = stage.make('two', 'g', A, 200)
    expect(lines.enter(next)).to.equal('wait')
    answerTimedOut(first)
    expect(lines.enter(next), 'asked again by mistake').to.equal('wait')
    expect(stage.turns).to.deep.equal([])
    landed(first)
    expect(stage.turns).to.have.length(1)
    expect(lines.enter(next)).to.equal('go')
    expect(stage.newly()).to.deep.equal(['one: timedOut'])
  })

  it('lets a lower offset follow a higher one that is on its way: readers may go back', () => {
    const first = stage.make('one', 'g', A, 100)
    lines.enter(first)
    stage.send(first)
    const back = stage.make('two', 'g', A, 50)
    expect(lines.enter(back)).to.equal('wait')
    landed(first)
    reply(first, { type: 'success' })
    expect(lines.enter(back)).to.equal('go')
  })

  it('lets one that has to be sent again yield to a later one, whatever their offsets', () => {
    for (const later of [200, 50]) {
      const first = stage.make('one', 'g', A, 100)
      lines.enter(first)
      stage.send(first)
      const next = stage.make('two', 'g', A, later)
      lines.enter(next)
      expect(lines.yields(first), 'not while it is the later one').to.equal(true)
      expect(lines.yields(next)).to.equal(false)
      landed(first)
      expect(lines.enter(next)).to.equal('go')
      expect(stage.newly()).to.deep.equal([`one: superseded 100 by ${later}`])
      reply(next, { type: 'success' })
      stage.newly()
    }
    expect(lines.size).to.equal(0)
  })

  it('lets one that rests before it is sent again yield to a later one', () => {
    const first = stage.make('one', 'g', A, 100)
    lines.enter(first)
    stage.send(first)
    landed(first)
    expect(lines.yields(first), 'nobody waits yet').to.equal(false)
    expect(stage.enter('two', 'g', A, 50)).to.deep.equal(['go', 'one: superseded 100 by 50'])
    expect(first.settled).to.equal(true)
  })

  it('holds for those that come between an answer and the turn of the next', () => {
    const first = stage.make('one', 'g', A, 100)
    lines.enter(first)
    stage.send(first)
    const next = stage.make('two', 'g', A, 200)
    lines.enter(next)
    landed(first)
    reply(first, { type: 'success' })
    const late = stage.make('three', 'g', A, 300)
    expect(lines.enter(late)).to.equal('wait')
    expect(stage.newly()).to.deep.equal(['one: success', 'two: superseded 200 by 300'])
    expect(lines.enter(late)).to.equal('go')
  })

  it('ends with its last commit, also when that ran out of time between an answer and its turn', () => {
    const first = stage.make('one', 'g', A, 100)
    lines.enter(first)
    stage.send(first)
    const next = stage.make('two', 'g', A, 200)
    lines.enter(next)
    landed(first)
    reply(first, { type: 'success' })
    answerTimedOut(next)
    expect(lines.size).to.equal(0)
    expect(stage.enter('three', 'g', A, 50)).to.deep.equal(['go', 'one: success', 'two: timedOut'])
  })

  it('tells groups and topics apart that read alike', () => {
    for (const [groupId, topic] of [
      ['a b', 'c'],
      ['a', 'b c'],
      ['__proto__', '__proto__'],
      ['1 a', 'b']
    ] as const) {
      expect(stage.enter('one', groupId, { topic, partition: 0 }, 1)).to.deep.equal(['go'])
    }
    expect(lines.size).to.equal(4)
  })
})
