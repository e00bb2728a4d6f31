import { expect } from 'chai'
import { z } from 'zod'
import { silentLogger } from '../../../src/core/model.js'
import type { PeerError } from '../../../src/deployment/calls/peers.js'
import { KeyList } from '../../../src/deployment/gateways/gateway-keys.js'
import { GatewayPeers } from '../../../src/deployment/gateways/gateway-peers.js'
import { commonSettings, type HttpApi } from '../../../src/http/api/api.js'
import { startApp } from '../../../src/server/app/app.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { logWorker } from '../../support/built.js'
import { PeerAddress, peerSettings } from '../../support/peer-address.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

const settings = z
  .strictObject(commonSettings(1_000))
  .prefault({})
  .describe('An API whose modules take a while to load, under `/slow`')

const slowApi = (loaded: Promise<void>): HttpApi<z.output<typeof settings>, 'slow'> => ({
  name: 'slow',
  about: 'a system that was never written',
  source: 'slow 1.0',
  prefix: '/slow',
  settings,
  tryIt: () => [],
  operations: () => [],
  plugin: async () => {
    await loaded
    return () => undefined
  }
})

/** A request that another gateway passes on. */
const REQUEST = {
  route: 'produce',
  params: {},
  method: 'POST',
  url: '/',
  sentUrl: '/',
  headers: {},
  rawHeaders: [],
  recordHeaders: [],
  body: Buffer.alloc(0),
  asked: { hash: '', fingerprint: '' },
  requestId: 'one',
  principal: '',
  address: '',
  waitMs: 0
}

describe('a gateway that starts, and has no routes yet', () => {
  it('refuses requests with keys of others, and shares keys only when the routes are there', async () => {
    let load = (): void => undefined
    const apis = [slowApi(new Promise(resolve => (load = resolve)))]
    const entry = await new PeerAddress().open()
    const { 'peers.token': token = '' } = peerSettings([])
    const about = { addresses: [entry.text], listen: '127.0.0.1:0', networks: ['127.0.0.0/8'], token }
    const other = new GatewayPeers({ settings: about, log: silentLogger, clock: () => performance.now() })
    other.serve('keys of requests', () => 'shared')
    await other.open()
    const addresses = [entry.text, other.address]
    const lines: LogLine[] = []
    const said = async (words: RegExp): Promise<string> => {
      for (;;) {
        const line = lines.find(({ message }) => words.test(message))
        if (line !== undefined) return line.message
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    }
    const flags = Object.entries({
      ...peerSettings([entry]),
      'peers.addresses': addresses.join(),
      'clusters.default.brokers': '127.0.0.1:1',
      'http.port': '0',
      'management.port': '0',
      'wal.directory': walDirectoryOf('apps')
    }).map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
    const config = loadConfig({ apis, flags })
    const starting = startApp(config, { log: recordingLogger(lines), version: '0.0.0-test', apis, logWorker })
    try {
      entry.target = /127\.\S+$/.exec(await said(/^listening for other gateways/))![0]
      await said(/^keys of requests hold at all 2 gateways/)
      while (other.others.length === 0) await other.refresh()
      const [id] = other.others
      const call = (name: string, body: unknown) => other.call(id!, name, body, { timeoutMs: 10_000 })
      expect(await call('keys of requests', {})).to.equal('refused')
      const envelope = { list: new KeyList(addresses).digest, by: other.address, to: entry.text, request: REQUEST }
      const refusal = await call('keyed request', envelope).catch((error: PeerError) => error.cause)
      expect(refusal).to.deep.include({ code: 'notCarriedOut', message: 'it is starting' })
      load()
      await starting
      expect(await call('keys of requests', {})).to.equal('shared')
    } finally {
      load()
      await (await starting).stop()
      await other.close()
      entry.close()
    }
  })
})
