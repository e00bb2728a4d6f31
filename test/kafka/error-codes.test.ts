import { expect } from 'chai'
import { codesOf, errorCodes, kafkaErrorOf } from '../../src/kafka/error-codes.js'

describe('kafkaErrorOf', () => {
  it('knows every code from -1 to 133 without a gap', () => {
    expect(Object.values(errorCodes)).to.deep.equal(Array.from({ length: 135 }, (_, index) => index - 1))
  })

  it('is total: a code it does not know is retriable and keeps its number', () => {
    for (const code of [-2, 134, 255, 32767]) {
      expect(kafkaErrorOf(code)).to.deep.include({ code, retriable: true })
      expect(kafkaErrorOf(code).message).to.contain(String(code))
    }
  })

  it('says name, code and cause', () => {
    expect(kafkaErrorOf(6).message).to.equal('NOT_LEADER_OR_FOLLOWER (6): another broker leads the partition now')
  })

  it('shows the words of a broker, but none of one that refuses a right, which may show its own request', () => {
    expect(kafkaErrorOf(44, 'too few replicas').message).to.equal('POLICY_VIOLATION (44): too few replicas')
    const denials = Object.keys(errorCodes).filter(name => /(TOPIC|GROUP|CLUSTER|ID)_AUTHORIZATION_FAILED$/.test(name))
    expect(denials).to.have.length(4)
    for (const name of denials as (keyof typeof errorCodes)[]) {
      const { message } = kafkaErrorOf(errorCodes[name], 'Request(connectionId=10.0.0.7:9092-10.0.0.8:53406)')
      expect(message).to.match(/^\w+ \(\d+\): not authorized for the [a-z ]+$/)
    }
  })

  it('lets only what may pass be retried', () => {
    const retriable = Object.values(errorCodes).filter(code => kafkaErrorOf(code).retriable)
    expect(retriable).to.deep.equal([
      ...[-1, 2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89],
      ...[100, 103, 106, 122, 123, 129, 133]
    ])
  })

  it('has a name for each that no other one has, and says it with the number', () => {
    const names = Object.keys(errorCodes)
    expect(names.filter(name => !/^[A-Z_]{4,}$/.test(name))).to.deep.equal([])
    for (const [name, code] of Object.entries(errorCodes)) {
      const told = kafkaErrorOf(code)
      expect([told.code, told.name]).to.deep.equal([code, name])
      expect(told.message.startsWith(`${name} (${code})`), name).to.equal(true)
      expect(told.message).to.match(/^\w+ \(-?\d+\)(: [^:].+)?$/)
    }
    expect([kafkaErrorOf(4).message, kafkaErrorOf(777).name]).to.deep.equal([
      'INVALID_FETCH_SIZE (4)',
      'UNKNOWN_ERROR_777'
    ])
    expect([...codesOf('REQUEST_TIMED_OUT', 'NONE')]).to.deep.equal([7, 0])
  })
})
