import { expect } from 'chai'
import { kafkaPixy } from '../../../src/apis/kafka-pixy/api.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'

describe('pixy: where it listens by itself', () => {
  const listenersOf = (settings: object) =>
    kafkaPixy.listeners!(kafkaPixySettings.parse(settings), { host: '127.0.0.1' })
  const hostsOf = (settings: object) => kafkaPixy.hosts!(kafkaPixySettings.parse(settings))

  it('is nowhere, unless it is asked to', () => {
    expect([listenersOf({}), hostsOf({})]).to.deep.equal([[], []])
  })

  it('is a unix socket, with its mode and without TLS', () => {
    expect(listenersOf({ unixSocket: '/tmp/pixy.sock', unixSocketMode: '600' })).to.deep.equal([
      {
        label: 'kafka-pixy unix socket',
        prefix: '/pixy',
        address: { unixSocket: '/tmp/pixy.sock', mode: '600', setting: 'apis.kafka-pixy.unixSocket' },
        tls: false
      }
    ])
  })

  it('is a port for gRPC, which has the TLS of the shared port or none', () => {
    const host = { setting: 'apis.kafka-pixy.grpcHost', host: '10.0.0.1' }
    const settings = { grpcPort: 19_091, grpcHost: '10.0.0.1' }
    expect(hostsOf({ ...settings, tls: 'inherit' })).to.deep.equal([{ ...host, tls: true }])
    expect(hostsOf({ ...settings, tls: 'off' })).to.deep.equal([{ ...host, tls: false }])
  })
})
