import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect } from 'chai'
import Connection from 'kafkajs/src/network/connection.js'

const require = createRequire(import.meta.url)

/** What untyped-packages.d.ts promises and kafkajs does not. A newer kafkajs may move any of it. */
describe('the internals of kafkajs', () => {
  const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }
  const connection = new Connection({
    host: '127.0.0.1',
    port: 1,
    clientId: 'shape',
    logger: silent,
    requestTimeout: 1000,
    connectionTimeout: 1000,
    enforceRequestTimeout: false,
    reauthenticationThreshold: Number.MAX_SAFE_INTEGER,
    ssl: null,
    sasl: { mechanism: 'plain', username: 'u', password: 'p' },
    socketFactory: () => {
      throw new Error('not in this test')
    }
  })

  it('are those of the version that was read', () => {
    expect(require('kafkajs/package.json').version).to.equal('2.2.4')
    expect(require('../../package.json').dependencies.kafkajs).to.equal('2.2.4')
  })

  it('have the methods we call', () => {
    for (const method of [
      'connect',
      'disconnect',
      'authenticate',
      'setVersions',
      'setSupportAuthenticationProtocol',
      'nextCorrelationId'
    ] as const) {
      expect(connection[method], method).to.be.a('function')
    }
    expect(connection.sessionLifetime.toNumber()).to.equal(0)
    expect([connection.nextCorrelationId(), connection.nextCorrelationId()]).to.deep.equal([0, 1])
  })

  it('call nothing on their request queue but what ours has', () => {
    const source = readFileSync(require.resolve('kafkajs/src/network/connection.js'), 'utf8')
    const called = [...source.matchAll(/requestQueue\.(\w+)\(/g)].map(match => match[1]!)
    expect([...new Set(called)].sort()).to.deep.equal([
      'destroy',
      'fulfillRequest', // by processData only, which is never called: our socket reads elsewhere
      'maybeThrottle',
      'push',
      'rejectAll',
      'scheduleRequestTimeoutCheck',
      'waitForPendingRequests'
    ])
    expect(connection.requestQueue).to.include.keys('inflight', 'pending')
  })

  it('report a socket that cannot be made as a rejection', async () => {
    const error = await connection.connect().catch((reason: Error) => reason)
    expect((error as Error).message).to.contain('not in this test')
  })
})
