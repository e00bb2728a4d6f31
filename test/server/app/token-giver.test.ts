import { expect } from 'chai'
import { tokenGiverOf } from '../../../src/server/app/kafka.js'
import { loadConfig } from '../../../src/server/config/config.js'

type Given = Parameters<typeof tokenGiverOf>[0]

describe('the name of a gateway in tokens of queues', () => {
  const { peers, http } = loadConfig({ environment: {} })
  const idOf = (changed: { peers?: Partial<Given['peers']>; http?: Partial<Given['http']> }): string =>
    tokenGiverOf({ peers: { ...peers, ...changed.peers }, http: { ...http, ...changed.http } }).gatewayId.toString(
      'hex'
    )
  const peered = (listen: string) => ({ addresses: ['a:8091'], listen })

  it('is the same after a restart, and has 12 bytes', () => {
    expect(idOf({})).to.have.length(24)
    expect(idOf({})).to.equal(idOf({}))
    expect(idOf({ peers: peered('0.0.0.0:8091') })).to.equal(idOf({ peers: peered('0.0.0.0:8091'), http: { port: 1 } }))
  })

  it('is another one for each port of a host', () => {
    const all = [{}, { http: { port: 8081 } }, { peers: peered('0.0.0.0:8091') }, { peers: peered('0.0.0.0:8092') }]
    expect(new Set(all.map(idOf)).size).to.equal(4)
  })

  it('is a new one where any free port is taken', () => {
    expect(idOf({ http: { port: 0 } })).not.to.equal(idOf({ http: { port: 0 } }))
    expect(idOf({ peers: peered('[::1]:0') })).not.to.equal(idOf({ peers: peered('[::1]:0') }))
  })

  it('has a new incarnation and a new key for each process', () => {
    const [one, other] = [tokenGiverOf({ peers, http }), tokenGiverOf({ peers, http })]
    expect(one.incarnation).not.to.deep.equal(other.incarnation)
    expect(one.key).not.to.deep.equal(other.key)
  })
})
