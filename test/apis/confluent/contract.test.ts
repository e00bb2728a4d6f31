import { expect } from 'chai'
import { confluentOperations } from '../../../src/apis/confluent/operations.js'
import { confluentContract, differencesFrom } from '../../support/confluent-contract.js'
import type { AnswerSeen } from '../../support/described-answers.js'
import { checkRows } from '../../support/rows.js'

const V2 = 'application/vnd.kafka.v2+json'
const JSON_TYPE = 'application/json'

describe('confluent: what is said of the answers', () => {
  it('each operation has the refusals that any can have, with the body of an error', () => {
    for (const { id, path, answers } of confluentOperations) {
      const own = path.startsWith('/v3') ? JSON_TYPE : V2
      for (const status of [400, 401, 403, 408, 429, 500, 503]) {
        const schema = answers[status]?.content?.[own]
        expect(schema?.safeParse({ error_code: status, message: 'm' }).success, `${id} ${status}`).to.equal(true)
      }
      expect(answers[406]?.content, id).to.have.property(JSON_TYPE)
    }
  })

  describe('the check of an answer against the contract', () => {
    const record =
      '{"error_code":200,"cluster_id":"c","topic_name":"t","partition_id":0,"offset":1,"timestamp":"x"}\r\n'
    const right: AnswerSeen = {
      method: 'POST',
      path: '/v3/clusters/c/topics/t/records?x=1',
      status: 200,
      type: JSON_TYPE,
      persisted: 'yes',
      body: record
    }
    const lags = '/v3/clusters/c/consumer-groups/g/lags'
    const list = { kind: 'KafkaConsumerLagList', metadata: { self: 'x', next: null }, data: [] }
    const rightList: AnswerSeen = {
      method: 'GET',
      path: lags,
      status: 200,
      type: JSON_TYPE,
      persisted: undefined,
      body: JSON.stringify(list)
    }
    const wrong: readonly [what: string, seen: AnswerSeen][] = [
      ['its status is not described', { ...right, status: 201 }],
      ['its type is another', { ...right, type: V2 }],
      ['it does not say what is in Kafka', { ...right, persisted: undefined }],
      ['it says what is in Kafka, and nothing was produced', { ...rightList, persisted: 'yes' }],
      ['a record has no line end', { ...right, body: record.trimEnd() }],
      ['the second record has a further member', { ...right, body: record + record.replace('{', '{"more":1,') }],
      ['a record lacks a member', { ...right, body: record.replace('"offset":1,', '') }],
      ['it has no body', { ...right, body: '' }],
      [
        'a list has elements of another kind',
        { ...rightList, body: JSON.stringify({ ...list, data: [{ kind: 'X' }] }) }
      ],
      ['there is no such operation', { ...right, path: '/nope' }]
    ]
    it('takes right answers', () => {
      for (const seen of [right, { ...right, body: record + record }, rightList]) confluentContract.check(seen)
      confluentContract.check({ ...rightList, path: '/nope', status: 404, body: '{"error_code":404,"message":"m"}' })
    })
    it('finds each difference from the contract', () =>
      checkRows(wrong, ([, seen]) => expect(() => confluentContract.check(seen)).to.throw(seen.path)))
  })

  it('what a resource lacks of the published document is named, and what it has beside it', () => {
    const link = { related: 'x' }
    const member = {
      kind: 'KafkaConsumer',
      metadata: { self: 'x' },
      cluster_id: 'c',
      consumer_group_id: 'g',
      consumer_id: 'm'
    }
    expect(differencesFrom({ ...member, client_id: 'x', instance_id: null, assignments: link })).to.deep.equal([])
    expect(differencesFrom({ ...member, client_id: 5, assignments: {}, odd: 1, metadata: {} })).to.deep.equal([
      'KafkaConsumer has no metadata.self',
      'KafkaConsumer.client_id is 5',
      'KafkaConsumer.assignments is {}',
      'KafkaConsumer has odd'
    ])
    expect(differencesFrom({ ...member, kind: 'KafkaOdd' })).to.deep.equal([
      'the kind KafkaOdd is not in the published document'
    ])
  })
})
