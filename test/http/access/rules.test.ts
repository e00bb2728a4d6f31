import { expect } from 'chai'
import fc from 'fast-check'
import { OPERATIONS, type Operation } from '../../../src/http/access/access.js'
import { Rules, toMatcher } from '../../../src/http/access/rules.js'
import { checkRows } from '../../support/rows.js'

describe('patterns', () => {
  const cases: [pattern: string, matching: string[], other: string[]][] = [
    ['orders', ['orders'], ['order', 'orders2', 'Orders', '']],
    ['shop-*', ['shop-', 'shop-a'], ['shop', 'a-shop-']],
    ['*-audit', ['-audit', 'a-audit'], ['audit', '-audit-']],
    ['a*b*c', ['abc', 'axbxc', 'abcbc'], ['ab', 'acb', 'abcd']],
    ['a*a', ['aa', 'aba'], ['a']],
    ['*', ['', 'anything'], []],
    ['a.c', ['a.c'], ['abc']],
    ['__proto__', ['__proto__'], ['constructor']]
  ]
  it('each pattern matches the names that it should, and no other', () =>
    checkRows(cases, ([pattern, matching, other]) => {
      const matches = toMatcher(pattern)
      expect(matching.filter(name => !matches(name))).to.deep.equal([])
      expect(other.filter(name => matches(name))).to.deep.equal([])
    }))

  it('match what a regular expression with .* matches', () => {
    const text = (unit: string[]) => fc.string({ unit: fc.constantFrom(...unit), maxLength: 8 })
    fc.assert(
      fc.property(text(['a', 'b', '*']), text(['a', 'b']), (pattern, name) => {
        expect(toMatcher(pattern)(name)).to.equal(new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name))
      }),
      { numRuns: 2_000 }
    )
  })

  it('take little time however many stars there are', () => {
    const matches = toMatcher(`${'*a'.repeat(120)}b`)
    const before = process.cpuUsage()
    expect(matches('a'.repeat(100_000))).to.equal(false)
    // Of the process alone: on a busy machine much more time may pass.
    expect(process.cpuUsage(before).user / 1_000).to.be.below(1_000)
  })
})

describe('rules', () => {
  const rules = new Rules([
    { principals: ['shop'], operations: ['produce'], topics: ['orders', 'shop-*'], groups: [], subjects: [] },
    {
      principals: ['billing-*'],
      operations: ['consume', 'offsets'],
      topics: ['orders'],
      groups: ['billing'],
      subjects: []
    },
    { principals: ['*'], operations: ['produce'], topics: ['feedback'], groups: [], subjects: [] },
    { principals: ['anonymous'], operations: ['consume'], topics: ['public'], groups: [], subjects: [] },
    { principals: ['planner'], operations: ['admin', 'create', 'alter'], topics: ['plan-*'], groups: [], subjects: [] }
  ])
  const allows = (principal: string, operation: Operation, topic?: string, group?: string): boolean =>
    rules.grantsOf(principal).allows(operation, { topic, group })

  it('allow what one of them says', () => {
    expect(allows('shop', 'produce', 'orders')).to.equal(true)
    expect(allows('shop', 'produce', 'shop-7')).to.equal(true)
    expect(allows('billing-eu', 'consume', 'orders', 'billing')).to.equal(true)
    expect(allows('anybody', 'produce', 'feedback')).to.equal(true)
  })

  it('allow to register schemas under the subjects that they name, and nothing else of these subjects', () => {
    const named = new Rules([
      {
        principals: ['ann'],
        operations: ['register', 'produce'],
        topics: ['orders'],
        groups: [],
        subjects: ['orders-*']
      }
    ]).grantsOf('ann')
    expect(named.allows('register', { subject: 'orders-value' })).to.equal(true)
    expect(named.allows('register', { subject: 'other-value' })).to.equal(false)
    expect(named.allows('consume', { subject: 'orders-value' })).to.equal(false)
    expect(named.allows('produce', { topic: 'orders' })).to.equal(true)
    expect(rules.grantsOf('shop').allows('register', { subject: 'orders-value' })).to.equal(false)
  })

  it('allow changes of topics by their operations only, and none by the permission to list topics', () => {
    const operations = ['admin', 'create', 'delete', 'alter', 'cluster'] as const
    const allowed = (topic?: string): string[] => operations.filter(operation => allows('planner', operation, topic))
    expect(allowed('plan-1')).to.deep.equal(['admin', 'create', 'alter'])
    expect(allowed('orders')).to.deep.equal([])
    expect(allowed(), 'settings of brokers').to.not.include('cluster')
    expect(operations.filter(operation => allows('shop', operation, 'orders'))).to.deep.equal([])
  })

  it('refuse everything else', () => {
    expect(allows('shop', 'produce', 'other')).to.equal(false)
    expect(allows('shop', 'consume', 'orders')).to.equal(false)
    expect(allows('billing-eu', 'consume', 'orders', 'others')).to.equal(false)
    expect(allows('billing-eu', 'consume', 'feedback', 'billing')).to.equal(false)
    expect(allows('constructor', 'management')).to.equal(false)
  })

  it('never put two of them together: the topic of one and the group of another', () => {
    const two = new Rules([
      { principals: ['a'], operations: ['consume'], topics: ['t1'], groups: ['g1'], subjects: [] },
      { principals: ['a'], operations: ['consume'], topics: ['t2'], groups: ['g2'], subjects: [] }
    ])
    expect(two.grantsOf('a').allows('consume', { topic: 't1', group: 'g2' })).to.equal(false)
  })

  it('remember no name that is longer than any topic: a thousand of them could hold gigabytes', () => {
    let asked = 0
    const counting = new Rules([
      { principals: ['a'], operations: ['produce'], topics: ['*'], groups: [], subjects: [] }
    ])
    const grants = counting.grantsOf('a')
    const allows = grants.allows.bind(grants)
    grants.allows = (...question) => {
      asked++
      return allows(...question)
    }
    for (const length of [249, 249, 250, 250]) expect(grants.allowsTopic('produce', 'x'.repeat(length))).to.equal(true)
    expect(asked).to.equal(3)
  })

  it('`*` does not include clients without credentials', () => {
    expect(allows('anonymous', 'produce', 'feedback')).to.equal(false)
    expect(allows('anonymous', 'consume', 'public')).to.equal(true)
    expect(allows('shop', 'consume', 'public')).to.equal(false)
  })

  it('allow nothing when there are none', () => {
    for (const operation of OPERATIONS) expect(new Rules([]).grantsOf('a').allows(operation, {})).to.equal(false)
  })

  it('remember answers about topics without mixing up operations, and not without end', () => {
    const grants = rules.grantsOf('shop')
    for (let i = 0; i < 5_000; i++) expect(grants.allowsTopic('produce', `shop-${i}`)).to.equal(true)
    for (let i = 0; i < 2; i++) {
      expect(grants.allowsTopic('produce', '__proto__')).to.equal(false)
      expect(grants.allowsTopic('consume', 'orders')).to.equal(false)
      expect(grants.allowsTopic('produce', 'orders')).to.equal(true)
    }
  })
})
