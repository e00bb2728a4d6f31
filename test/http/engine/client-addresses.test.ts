import { expect } from 'chai'
import { ClientAddresses } from '../../../src/http/engine/client-addresses.js'
import { routableUrl } from '../../../src/http/server/server.js'

describe('addresses of clients', () => {
  const all = new ClientAddresses({})
  const keyOf = (address: string | undefined): string => all.enter(address).key

  it('are IPv4 addresses one by one, also where a socket for both families tells them', () => {
    expect(keyOf('10.0.0.1')).to.equal('10.0.0.1')
    expect(keyOf('::ffff:10.0.0.1')).to.equal('10.0.0.1')
    expect(keyOf('::FFFF:10.0.0.2')).not.to.equal(keyOf('10.0.0.1'))
  })

  it('are the first 64 bits of IPv6 addresses, however these are written', () => {
    const same = [
      ['2001:db8::1', '2001:db8:0:0:1:2:3:4', '2001:db8:0:0::', '2001:db8::%eth0', '2001:db8::10.0.0.1'],
      ['::1', '::', '0:0:0:0:0:0:0:1', '::10.0.0.1'],
      ['fe80::1%eth0', 'fe80::2%eth1'],
      ['1:2:3:4:5:6:7:8', '1:2:3:4::', '1:2:3:4:5:6:10.0.0.1']
    ]
    const keys = same.map(addresses => new Set(addresses.map(keyOf)))
    expect(keys.map(({ size }) => size)).to.deep.equal([1, 1, 1, 1])
    expect(new Set(keys.map(([key]) => key)).size).to.equal(4)
    expect(keyOf('2001:db8:0:1::')).not.to.equal(keyOf('2001:db8::'))
    expect(keyOf('1:2:3:5::')).not.to.equal(keyOf('1:2:3:4::'))
  })

  it('are those of the whole address, with a part of IPv4 at its end or a zone behind it', () => {
    for (const [address, same] of [
      ['1::ffff:10.0.0.1', '1::5'],
      ['1:2::4:5:6:10.0.0.1', '1:2:0:4::'],
      ['1:2:3::5:6:7:8%en.5', '1:2:3:0::'],
      ['::ffff:0:10.0.0.1', '::1'],
      ['1::', '1:0:0:0:5::']
    ]) {
      expect(keyOf(address), address).to.equal(keyOf(same))
    }
    expect(keyOf('fe80::1%10.0.0.1')).to.equal(keyOf('fe80::2'))
    expect(keyOf('::ffff:10.0.0.1')).not.to.equal(keyOf('::1'))
  })

  it('are remembered as long as they have connections', () => {
    const addresses = new ClientAddresses({})
    const [first, second] = [addresses.enter('10.0.0.1'), addresses.enter('10.0.0.1')]
    expect(first).to.equal(second)
    addresses.enter('10.0.0.2')
    expect(addresses.size).to.equal(2)
    first.leave()
    expect(addresses.size).to.equal(2)
    second.leave()
    expect(addresses.size).to.equal(1)
  })

  it('have no limit without a setting, nor where there is no address, as at a unix socket', () => {
    const socket = new ClientAddresses({ maxConnections: 1, maxRequestsInFlight: 1, maxBodiesInFlightBytes: 1 })
    for (const [addresses, address] of [
      [socket, undefined],
      [all, '10.9.9.9']
    ] as const) {
      addresses.enter(address)
      const use = addresses.enter(address)
      const release = use.requests.take(5)
      expect(addresses.hasTooManyConnections(use)).to.equal(false)
      expect(addresses.requestRefusal(use)).to.equal(undefined)
      expect(addresses.bodyRefusal(use, 1_000)).to.equal(undefined)
      release()
    }
  })
})

describe('URLs that the router can decode', () => {
  it('are passed to the router unchanged', () => {
    for (const url of ['/push', '/a%20b', '/a?b=%zz', '/a%2F#%', '/a;b=%20', '*'])
      expect(routableUrl(url)).to.equal(url)
  })

  it('are made of others by escaping the path, and the path only', () => {
    expect(routableUrl('/%zz?a=%b')).to.equal('/%25zz?a=%b')
    expect(routableUrl('/a%20b/%ff')).to.equal('/a%2520b/%25ff')
    expect(routableUrl('/%#%')).to.equal('/%25#%')
  })
})
