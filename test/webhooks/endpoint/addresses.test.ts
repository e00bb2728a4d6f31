import { expect } from 'chai'
import fc from 'fast-check'
import { addressProblem, namedNetworks, type Target } from '../../../src/webhooks/endpoint/addresses.js'
import { embeddedIn } from './address-forms.js'

const https: Target = { port: 443, isPlain: false }
const http = (port: number): Target => ({ port, isPlain: true })

interface Given {
  readonly networks?: readonly string[]
  readonly withLoopback?: boolean
  readonly hostAddresses?: readonly string[]
  readonly taken?: readonly string[]
}

function problemOf(address: string, target: Target = https, given: Given = {}): string | undefined {
  const { networks = ['public'], withLoopback = false, hostAddresses = [], taken = [] } = given
  return addressProblem(address, target, { networks: namedNetworks(networks, withLoopback), hostAddresses, taken })
}

/** The registries of IANA, line by line, each with an address at its beginning and one at its end where these differ. */
const notReachable = [
  ['0.0.0.1', '0.255.255.255'],
  ['10.0.0.0', '10.255.255.255'],
  ['100.64.0.0', '100.127.255.255'],
  ['127.0.0.0', '127.255.255.255'],
  ['169.254.0.0', '169.254.169.254', '169.254.255.255'],
  ['172.16.0.0', '172.31.255.255'],
  ['192.0.0.0', '192.0.0.7', '192.0.0.8', '192.0.0.11', '192.0.0.170', '192.0.0.171', '192.0.0.255'],
  ['192.0.2.0', '192.0.2.255'],
  ['192.88.99.0', '192.88.99.2', '192.88.99.255'],
  ['192.168.0.0', '192.168.255.255'],
  ['198.18.0.0', '198.19.255.255'],
  ['198.51.100.0', '198.51.100.255'],
  ['203.0.113.0', '203.0.113.255'],
  ['224.0.0.0', '239.255.255.255'],
  ['240.0.0.0', '255.255.255.255'],
  ['168.63.129.16'],
  ['::1'],
  ['::2', '::ffff'],
  ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
  ['100::', '100::ffff:ffff:ffff:ffff', '100:0:0:1::1'],
  ['2001::', '2001:0:ffff::', '2001:1::', '2001:1::4', '2001:2::', '2001:4:111:ffff::', '2001:10::', '2001:1ff::'],
  ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['2002::', '2002:808:808::1', '2002:ffff::'],
  ['3fff::', '3fff:fff:ffff::'],
  ['5f00::', '5f00:ffff::'],
  ['fc00::', 'fdff::'],
  ['fe80::', 'febf::', 'fec0::', 'feff::'],
  ['ff02::1', 'ff0e::1'],
  ['4000::', '1fff::', 'e000::']
].flat()
const reachable = [
  ['0.0.0.0', '1.0.0.0'],
  ['9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0'],
  ['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.0.0.9', '192.0.0.10', '192.0.1.0'],
  ['192.31.196.1', '192.52.193.1', '192.88.98.255', '192.88.100.0', '192.175.48.1', '198.17.255.255', '198.20.0.0'],
  ['203.0.112.255', '203.0.114.0', '223.255.255.255', '168.63.129.15', '168.63.129.17', '8.8.8.8'],
  ['2001:1::1', '2001:1::2', '2001:1::3', '2001:3::1', '2001:4:112::1', '2001:20::1', '2001:2f::', '2001:30::1'],
  ['2001:200::', '2001:db7:ffff::', '2001:db9::', '2003::', '2606:4700::1111', '2620:4f:8000::1', '3fff:1000::']
]
  .flat()
  .slice(1)

describe('the addresses of webhooks', () => {
  it('are by default those that IANA calls globally reachable, but for Azure’s WireServer', () => {
    for (const address of notReachable) expect(problemOf(address), address).to.match(/is in none of webhooks.networks$/)
    for (const address of reachable) expect(problemOf(address), address).to.equal(undefined)
  })

  it('are never those that stand for all addresses, have a zone, or are none', () => {
    const everywhere = { networks: ['public', '0.0.0.0/0', '::/0'] }
    for (const address of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '::ffff:0.0.0.0', '64:ff9b::', '2002::', '::ffff:0:0:0'])
      expect(problemOf(address, https, everywhere), address).to.match(/is no address of a host$/)
    for (const address of [
      'fe80::1%eth0',
      '::1%1',
      '',
      'localhost',
      '127.1',
      '0x7f000001',
      '[::1]',
      '1.2.3.4.5',
      '::1 '
    ])
      expect(problemOf(address, https, everywhere), address).to.match(/is no address$/)
    expect(problemOf('169.254.169.254', https, everywhere)).to.equal(undefined)
  })

  it('of IPv6 that have one of IPv4 inside are refused where that is', () => {
    const v6 = { networks: ['public', '::/0'] }
    fc.assert(
      // ::0.0.0.1 is loopback of IPv6.
      fc.property(fc.constantFrom(...notReachable.filter(one => one.includes('.') && one !== '0.0.0.1')), v4 => {
        for (const form of embeddedIn(v4)) {
          expect(problemOf(form), form).to.be.a('string')
          expect(problemOf(form, https, v6), form).to.be.a('string')
        }
      })
    )
  })

  it('of IPv6 with a reachable one inside are those that are reachable themselves, or named', () => {
    const allowed = (networks: readonly string[]): string[] =>
      embeddedIn('8.8.4.4').filter(form => problemOf(form, https, { networks }) === undefined)
    expect(allowed(['public'])).to.deep.equal([
      '::ffff:8.8.4.4',
      '::FFFF:808:404',
      '0:0:0:0:0:ffff:808:404',
      '64:ff9b::8.8.4.4',
      '64:ff9b::808:404'
    ])
    expect(allowed(['public', '::/0'])).to.deep.equal(embeddedIn('8.8.4.4'))
  })

  it('that are public are asked by https on port 443 only', () => {
    expect(problemOf('8.8.8.8', http(443))).to.match(/use https/)
    expect(problemOf('8.8.8.8', { port: 8443, isPlain: false })).to.match(/use port 443/)
    expect(problemOf('8.8.8.8', http(80), { networks: ['public', '8.8.8.0/24'] })).to.equal(undefined)
  })

  it('of named networks are asked by http too, on ports 80, 443 and from 1024 on', () => {
    const networks = ['10.0.0.0/8', 'fd00::/8']
    for (const address of ['10.1.2.3', 'fd12::1', '::ffff:10.1.2.3']) {
      for (const port of [80, 443, 1_024, 9_000, 65_535])
        expect(problemOf(address, http(port), { networks }), `${address} ${port}`).to.equal(undefined)
      for (const port of [0, 1, 22, 25, 79, 442, 1_023])
        expect(problemOf(address, http(port), { networks }), `${address} ${port}`).to.match(/is not asked on port/)
    }
    expect(problemOf('8.8.8.8', https, { networks })).to.match(/in none of/)
    expect(problemOf('11.0.0.1', https, { networks })).to.match(/in none of/)
    expect(problemOf('fc00::1', https, { networks })).to.match(/in none of/)
  })

  it('of one family are not named by a network of the other', () => {
    expect(problemOf('10.0.0.1', https, { networks: ['::/0'] })).to.match(/in none of/)
    expect(problemOf('fd00::1', https, { networks: ['0.0.0.0/0'] })).to.match(/in none of/)
  })

  it('of loopback are allowed where Kafka is embedded, but for taken ports', () => {
    const given = { withLoopback: true, taken: ['127.0.0.1'] }
    expect(problemOf('127.0.0.1', http(9_000), { withLoopback: true })).to.equal(undefined)
    expect(problemOf('::1', http(9_000), { withLoopback: true })).to.equal(undefined)
    expect(problemOf('127.0.0.1', http(8_080), given)).to.match(/has a listener of Castellan/)
    expect(problemOf('::ffff:127.0.0.1', http(8_080), given)).to.match(/has a listener/)
    expect(problemOf('127.0.0.2', http(8_080), given)).to.equal(undefined)
    expect(problemOf('10.0.0.1', http(9_000), given)).to.match(/in none of/)
  })

  it('of listeners, brokers, peers and the registry are refused in every network', () => {
    const networks = ['public', '0.0.0.0/0', '::/0']
    const taken = ['10.0.0.9', 'fd00::9', '64:ff9b::808:808']
    for (const address of ['10.0.0.9', '::ffff:10.0.0.9', '64:ff9b::a00:9', 'fd00:0::9', '64:ff9b::8.8.8.8'])
      expect(problemOf(address, http(9_092), { networks, taken }), address).to.match(/has a listener/)
    expect(problemOf('10.0.0.8', http(9_092), { networks, taken })).to.equal(undefined)
  })

  it('of this host are refused where a listener has all addresses', () => {
    for (const any of ['0.0.0.0', '::']) {
      const given = { networks: ['0.0.0.0/0', '::/0'], hostAddresses: ['10.0.0.5', 'fd00::5'], taken: [any] }
      for (const address of ['10.0.0.5', 'fd00::5', '127.0.0.1', '127.9.9.9', '::1'])
        expect(problemOf(address, http(8_080), given), `${any} ${address}`).to.match(/has a listener/)
      expect(problemOf('10.0.0.6', http(8_080), given)).to.equal(undefined)
    }
  })

  it('of this host that are public are refused on any port', () => {
    const given = { networks: ['public', '0.0.0.0/0', '::/0'], hostAddresses: ['8.8.8.8', '2606:4700::1', '10.0.0.5'] }
    for (const address of ['8.8.8.8', '2606:4700:0::1', '64:ff9b::8.8.8.8', '::ffff:8.8.8.8'])
      expect(problemOf(address, https, given), address).to.match(/is a public address of this host$/)
    expect(problemOf('10.0.0.5', https, given)).to.equal(undefined)
  })
})
