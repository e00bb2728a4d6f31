import { Writable } from 'node:stream'
import { expect } from 'chai'
import { type Castellan, openCastellan, openSchemas, type Schemas } from '../../src/client-with-schemas.js'
import { ConfigError } from '../../src/core/errors.js'
import { type EmbeddedCluster, startEmbeddedCluster } from '../../src/testing.js'
import { runCommand } from '../cli/run-command.js'
import { serveRegistry } from './registry-server.js'
import { ScriptedRegistry } from './scripted-registry.js'

const ORDER = JSON.stringify({ type: 'record', name: 'Order', fields: [{ name: 'n', type: 'long' }] })
const LONG = '{"n":9007199254740993}'

describe('records that are decoded by schemas', () => {
  let cluster: EmbeddedCluster
  let registry: Awaited<ReturnType<typeof serveRegistry>>
  let castellan: Castellan
  let schemas: Schemas
  before(async () => {
    cluster = await startEmbeddedCluster({ defaultPartitions: 1 })
    const scripted = new ScriptedRegistry()
    scripted.add('orders-value', ORDER)
    registry = await serveRegistry(scripted)
    castellan = await openCastellan({ brokers: cluster.bootstrap })
    schemas = await openSchemas({ registry: { urls: [registry.url] } })
    const { encode } = await schemas.resolve({ topic: 'orders', part: 'value', mayRegister: () => false })
    const records = [
      { topic: 'orders', key: 'k\t1', value: await encode(LONG) },
      { topic: 'orders', key: null, value: 'plain' },
      { topic: 'orders', key: Buffer.from([0xff]), value: null },
      { topic: 'orders', key: 'k2', value: await encode('{"n":2}') }
    ]
    await castellan.produceOrThrow(records)
  })
  after(async () => {
    schemas?.close()
    await castellan?.close()
    await registry?.close()
    await cluster?.close()
  })

  const noId = 'it does not begin with the id of a schema'

  it('the library gives them their JSON beside their bytes, and each that cannot be decoded its reason', async () => {
    const found: unknown[] = []
    for await (const { offset, value, json } of castellan.read('orders', { schemas })) {
      found.push([offset, json!.key, json!.value, json!.undecodable])
      expect(value === null ? json!.value : 'null').to.equal('null')
    }
    expect(found).to.deep.equal([
      [0, '"k\\t1"', LONG, undefined],
      [1, 'null', '"cGxhaW4="', `{"value":"${noId}"}`],
      [2, '"/w=="', 'null', `{"key":"${noId}"}`],
      [3, '"k2"', '{"n":2}', undefined]
    ])
    for await (const record of castellan.read('orders')) expect(record).not.to.include.keys('json')
  })

  it('openSchemas refuses options without a registry', async () => {
    const problems = await Promise.all([
      openSchemas({}).catch((error: Error) => error),
      openSchemas({ registry: { urls: ['registry:8081'] } }).catch((error: Error) => error)
    ])
    for (const problem of problems) expect(problem).to.be.instanceOf(ConfigError)
  })

  const read = (...args: readonly string[]) => runCommand(['read', 'orders', '--brokers', cluster.bootstrap, ...args])
  const registryFlag = (): string => `schemas.registry.urls=${registry.url}`

  it('castellan read --schema writes their JSON in each format, and counts as ever', async () => {
    const flags = ['--schema', '--set', registryFlag()]
    expect(await read(...flags)).to.deep.equal({
      code: 0,
      stdout: `${LONG}\n"cGxhaW4="\nnull\n{"n":2}\n`,
      stderr: ''
    })
    const pairs = await read(...flags, '--format', 'key-value', '--count', '2')
    expect(pairs.stdout).to.equal(`"k\\t1"\t${LONG}\nnull\t"cGxhaW4="\n`)
    const { stdout } = await read(...flags, '--format', 'json')
    const lines = stdout.trimEnd().split('\n')
    expect(lines[0]).to.include(`"key":"k\\t1","value":${LONG},"headers":[]}`)
    expect(lines.map(line => (JSON.parse(line) as { undecodable?: unknown }).undecodable)).to.deep.equal([
      undefined,
      { value: noId },
      { key: noId },
      undefined
    ])
  })

  it('castellan read --schema writes what few bytes become in steps, without all of it in memory', async () => {
    const nulls = Array.from({ length: 1_000 }, (_, at) => ({ name: `field${at}`, type: 'null' }))
    const schema = JSON.stringify({ type: 'array', items: { type: 'record', name: 'Nulls', fields: nulls } })
    const { id } = await schemas.resolve({ topic: 'nulls', part: 'value', schema, mayRegister: () => true })
    // Two hundred and twenty records of a thousand nulls: 3.7 MB of JSON.
    const value = Buffer.from([0, 0, 0, 0, id, 0xb8, 0x03, 0])
    const records = Array.from({ length: 60 }, () => ({ topic: 'nulls', key: null, value }))
    await castellan.produceOrThrow(records)
    let held = 0
    let lines = 0
    const stdout = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _, done) => {
        held = Math.max(held, chunk.length)
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
        setImmediate(done)
      }
    }) as unknown as NodeJS.WriteStream
    const flags = ['--brokers', cluster.bootstrap, '--schema', '--set', registryFlag()]
    const { code } = await runCommand(['read', 'nulls', ...flags], { stdout })
    expect([code, lines]).to.deep.equal([0, records.length])
    expect(held).to.be.within(3_000_000, 8_400_000)
    let begun = 0
    let mostBegun = 0
    const counting = {
      decode: async (...of: Parameters<Schemas['decode']>) => {
        mostBegun = Math.max(mostBegun, ++begun)
        return schemas.decode(...of).finally(() => begun--)
      },
      decodeEach: (...of: Parameters<Schemas['decodeEach']>) => schemas.decodeEach(...of)
    }
    for await (const { json } of castellan.read('nulls', { schemas: counting }))
      expect(json!.value).to.have.length(held - 1)
    expect(mostBegun).to.be.within(2, 16)
  })

  it('castellan read --schema says which setting names a registry where none does', async () => {
    const { code, stdout, stderr } = await read('--schema')
    expect([code, stdout]).to.deep.equal([1, ''])
    expect(stderr).to.include('schemas.registry.urls')
  })
})
