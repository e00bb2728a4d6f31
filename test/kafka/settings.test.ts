import { expect } from 'chai'
import { clusterSettings } from '../../src/kafka/settings.js'

describe('the settings of a cluster', () => {
  const errorsOf = (settings: object): string[] =>
    clusterSettings.safeParse(settings).error?.issues.map(({ path }) => path.join('.')) ?? []

  it('hold what is needed to log in by each mechanism', () => {
    for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']) {
      expect(errorsOf({ sasl: { mechanism } })).to.deep.equal([])
      const { sasl } = clusterSettings.parse({ brokers: ['a:1'], sasl: { mechanism: mechanism.toUpperCase() } })
      expect(sasl!.mechanism).to.equal(mechanism)
    }
    expect(errorsOf({ sasl: { mechanism: 'kerberos' } })).to.deep.equal(['sasl.mechanism'])
    expect(errorsOf({ sasl: {} })).to.deep.equal(['sasl.mechanism'])
  })

  it('are refused where they are empty, too long or unknown', () => {
    expect(errorsOf({ clientId: '' })).to.deep.equal(['clientId'])
    expect(errorsOf({ clientId: 'x'.repeat(249) })).to.deep.equal([])
    expect(errorsOf({ clientId: 'x'.repeat(250) })).to.deep.equal(['clientId'])
    for (const name of ['caFile', 'certFile', 'keyFile', 'serverName']) {
      expect(errorsOf({ tls: { [name]: '' } })).to.deep.equal([`tls.${name}`])
      expect(errorsOf({ tls: { [name]: 'x' } })).to.deep.equal([])
    }
    for (const name of ['username', 'tokenClient', 'tokenScope', 'tokenCaFile']) {
      expect(errorsOf({ sasl: { mechanism: 'plain', [name]: '' } })).to.deep.equal([`sasl.${name}`])
      expect(errorsOf({ sasl: { mechanism: 'plain', [name]: 'x' } })).to.deep.equal([])
    }
    for (const settings of [{ broker: [] }, { tls: { on: true } }, { sasl: { mechanism: 'plain', user: 'x' } }]) {
      expect(errorsOf(settings)).to.have.length(1)
    }
  })
})
