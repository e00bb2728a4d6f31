import { expect } from 'chai'
import { explain, History, type Logged, type Rule } from './history-checker.js'

const idOf = (record: Logged): string | undefined => /^id\d+/.exec(record.value)?.[0]

/** Five acknowledged records of two keys, and the log that goes with them; each test breaks one thing. */
function healthy(): { history: History; log: Logged[] } {
  const history = new History()
  const log = [0, 1, 2, 3, 4].map(index => {
    const record = { id: `id${index}`, topic: 'orders', key: `k${index % 2}`, value: `id${index} payload` }
    const place = { partition: index % 2, offset: 10 + index }
    history.invoke(record)
    if (index > 0) history.complete(record.id, { type: 'ok', ...place })
    return { topic: 'orders', key: record.key, value: record.value, ...place }
  })
  return { history, log }
}

const rulesOf = (history: History, log: readonly Logged[]): Rule[] =>
  history.check(log, idOf).violations.map(violation => violation.rule)

describe('history checker', () => {
  it('finds nothing wrong with a log that has what was acknowledged', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok' })
    const verdict = history.check(log, idOf)
    expect(verdict).to.deep.equal({ sent: 5, ok: 5, failed: 0, unknown: 0, logged: 5, violations: [] })
    expect(explain(verdict)).to.match(/nothing lost/)
  })

  it('allows an unknown record to be there or not', () => {
    for (const keep of [true, false]) {
      const { history, log } = healthy()
      history.complete('id0', { type: 'unknown', answered: true })
      expect(rulesOf(history, keep ? log : log.slice(1))).to.deep.equal([])
    }
  })

  it('catches an acknowledged record that is not in the log', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok' })
    log.splice(2, 1)
    expect(rulesOf(history, log)).to.deep.equal(['lost'])
  })

  it('catches a refused record that is in the log', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'fail' })
    expect(rulesOf(history, log)).to.deep.equal(['ghost'])
  })

  it('catches records nobody sent, with and without an id', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok' })
    log.push({ topic: 'orders', partition: 0, offset: 90, key: 'k0', value: 'id77 payload' })
    log.push({ topic: 'orders', partition: 0, offset: 91, key: 'k0', value: 'what' })
    expect(rulesOf(history, log)).to.deep.equal(['invented', 'invented'])
  })

  it('catches another time than was asked for or told', () => {
    const timed = (told: number, logged: number): Rule[] => {
      const history = new History()
      const record = { topic: 'orders', key: 'k', value: 'id1 payload' }
      history.invoke({ ...record, id: 'id1', timestampMs: 5 })
      history.complete('id1', { type: 'ok', timestampMs: told })
      return rulesOf(history, [{ ...record, partition: 0, offset: 0, timestampMs: logged }])
    }
    expect([timed(5, 5), timed(6, 5), timed(5, 6)]).to.deep.equal([[], ['mistimed'], ['mistimed']])
  })

  it('lets a record that has no order lie anywhere', () => {
    for (const isUnordered of [true, false]) {
      const history = new History()
      const log = [1, 0].map((offset, index): Logged => {
        const record = { topic: 'orders', key: '', value: `id${index} payload` }
        history.invoke({ ...record, id: `id${index}`, isUnordered })
        history.complete(`id${index}`, { type: 'ok' })
        return { ...record, partition: 0, offset }
      })
      expect(rulesOf(history, log)).to.deep.equal(isUnordered ? [] : ['reordered'])
    }
  })

  it('catches a changed value, key and topic', () => {
    for (const change of [{ value: 'id2 PAYLOAD' }, { key: 'other' }, { topic: 'others' }]) {
      const { history, log } = healthy()
      history.complete('id0', { type: 'ok' })
      log[2] = { ...log[2]!, ...change }
      expect(rulesOf(history, log)).to.deep.equal(['damaged'])
    }
  })

  it('catches a duplicate, also of a record whose fate was unknown', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'unknown', answered: true })
    log.push({ ...log[0]!, offset: 80 }, { ...log[1]!, offset: 81 })
    expect(rulesOf(history, log)).to.deep.equal(['duplicated', 'duplicated'])
  })

  it('catches two records of a key that changed places', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'unknown', answered: true })
    const [first, third] = [log[0]!, log[2]!]
    const swapped = [{ ...first, offset: third.offset }, log[1]!, { ...third, offset: first.offset }, log[3]!, log[4]!]
    expect(rulesOf(history, swapped)).to.include('reordered')
  })

  it('does not ask for the place of a record whose connection was lost', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'unknown', answered: false })
    log[0] = { ...log[0]!, offset: 99 }
    expect(rulesOf(history, log)).to.deep.equal([])
  })

  it('keeps asking for the order of the records around a late one', () => {
    const history = new History()
    for (const id of ['id0', 'id1', 'id2']) {
      history.invoke({ id, topic: 't', key: 'k', value: id })
      history.complete(id, { type: 'ok' })
    }
    const at = (id: string, offset: number): Logged => ({ topic: 't', partition: 0, offset, key: 'k', value: id })
    expect(rulesOf(history, [at('id1', 0), at('id2', 1), at('id0', 2)])).to.deep.equal(['reordered', 'reordered'])
  })

  it('catches an acknowledgement that names another place', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok', partition: 0, offset: 11 })
    expect(rulesOf(history, log)).to.deep.equal(['misplaced'])
  })

  it('catches a key that is in two partitions', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok' })
    log[4] = { ...log[4]!, partition: 3 }
    expect(rulesOf(history, log)).to.deep.equal(['misplaced', 'split'])
  })

  it('catches a request that was answered twice or never', () => {
    const { history, log } = healthy()
    history.complete('id1', { type: 'fail' })
    expect(rulesOf(history, log)).to.deep.equal(['answeredTwice', 'unanswered'])
  })

  it('tells what is wrong in a few lines', () => {
    const { history, log } = healthy()
    history.complete('id0', { type: 'ok' })
    log.splice(2, 1)
    expect(explain(history.check(log, idOf))).to.equal(
      '5 sent: 5 ok, 0 failed, 0 unknown; 4 in the log\nlost: 1\n  id2'
    )
  })

  it('takes a hundred thousand records', () => {
    const history = new History()
    const log: Logged[] = []
    for (let index = 0; index < 100_000; index++) {
      const record = { id: `id${index}`, topic: 't', key: `k${index % 100}`, value: `id${index}` }
      history.invoke(record)
      history.complete(record.id, { type: 'ok' })
      log.push({ topic: 't', partition: 0, offset: index, key: record.key, value: record.value })
    }
    expect(history.check(log, idOf).violations).to.deep.equal([])
  })

  describe('of a gateway of several processes', () => {
    type Record = readonly [id: string, connection: number | undefined, offsetTold: number | undefined]

    /** Records of one key in the order of their sending; they are in the log as `order` says. */
    function rulesOf(sent: readonly Record[], order: readonly string[], areConnectionsOrdered = false): Rule[] {
      const history = new History()
      const log = order.map((id, offset) => ({ topic: 'orders', partition: 0, offset, key: 'k', value: `${id} x` }))
      for (const [id, connection, offset] of sent) {
        history.invoke({ id, topic: 'orders', key: 'k', value: `${id} x` })
        if (connection !== undefined) history.sentOver(id, connection)
        history.complete(id, { type: 'ok', ...(offset !== undefined && { partition: 0, offset }) })
      }
      return history.check(log, idOf, { areConnectionsOrdered }).violations.map(({ rule }) => rule)
    }

    it('allows records of two connections to change places', () => {
      const sent: Record[] = [
        ['id1', 1, undefined],
        ['id2', 2, undefined],
        ['id3', undefined, undefined]
      ]
      expect(rulesOf(sent, ['id3', 'id2', 'id1'])).to.deep.equal([])
      expect(rulesOf(sent, ['id3', 'id2', 'id1'], true)).to.deep.equal(['reordered', 'reordered'])
    })

    it('catches records of one connection that have changed places, whatever came between them', () => {
      const sent: Record[] = [
        ['id1', 1, undefined],
        ['id2', 2, undefined],
        ['id3', 1, undefined]
      ]
      expect(rulesOf(sent, ['id2', 'id3', 'id1'])).to.deep.equal(['reordered'])
    })

    it('catches a record before one that was known to be in Kafka', () => {
      const sent: Record[] = [
        ['id1', 1, 1],
        ['id2', 2, undefined]
      ]
      expect(rulesOf(sent, ['id2', 'id1'])).to.deep.equal(['reordered'])
    })
  })
})
