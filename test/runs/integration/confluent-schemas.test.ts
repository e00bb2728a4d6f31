import { type AddressInfo, createServer, type Server } from 'node:net'
import { expect } from 'chai'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { ConfluentStage } from '../../support/confluent-stage.js'
import { codeOf, type ErrorBody, produceV2, readerOf, readOnce, readSome, schemaCases } from '../schema-cases.js'
import { inWorld } from './in-world.js'

const HEAD_END = '\r\n\r\n'

/** A registry of the world, whose connections node:http cannot serve: it answers as the script does. */
async function serve(registry: ScriptedRegistry): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer(socket => {
    let came = ''
    const answer = async (head: string, body: string): Promise<void> => {
      const [method, path] = head.split(' ') as ['GET' | 'POST', string]
      const { signal } = new AbortController()
      const sent = await registry.send({ method, url: `http://registry${path}`, body, signal })
      let text = ''
      for await (const bytes of sent.body) text += Buffer.from(bytes).toString()
      socket.write(`HTTP/1.1 ${sent.status} X\r\ncontent-length: ${Buffer.byteLength(text)}${HEAD_END}${text}`)
    }
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => {
      came += bytes.toString()
      const [head, body] = came.split(HEAD_END) as [string, string | undefined]
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (body === undefined || Buffer.byteLength(body) < length) return
      came = ''
      void answer(head, body)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describe('confluent: records with schemas', () => {
  describe('by a scripted registry', () => {
    inWorld()
    let stage: ConfluentStage
    let registry: ScriptedRegistry
    let server: Server
    let settings: Readonly<Record<string, string>>
    let topic: string
    before(async () => {
      registry = new ScriptedRegistry()
      const { url, ...serving } = await serve(registry)
      server = serving.server
      settings = { 'schemas.registry.urls': url }
      stage = await ConfluentStage.open(settings)
    })
    after(async () => {
      await stage?.close()
      server.close()
    })
    beforeEach(async () => {
      topic = await stage.topic(1)
    })
    afterEach(() => {
      registry.script = () => undefined
    })

    schemaCases(() => ({
      confluent: stage,
      settings,
      register: (subject, schema) => registry.add(subject, schema),
      silence: () => {
        registry.script = () => new Promise(() => undefined)
      }
    }))

    const INT = { value_schema: '"int"', records: [{ value: 1 }] }
    const registeredInt = (): object => {
      registry.add(`${topic}-value`, '"int"')
      return INT
    }

    it('confluent S4: a schema whose id is known costs no call of the registry', async () => {
      const { body } = await produceV2(stage, topic, INT)
      const { value_schema_id } = body as { value_schema_id: number }
      const calls = registry.calls.length
      expect((await produceV2(stage, topic, { value_schema_id, records: [{ value: 2 }] })).status).to.equal(200)
      await readSome(stage, await readerOf(stage, topic, 'avro'), 'avro', 2)
      expect(registry.calls.slice(calls)).to.deep.equal([])
    })

    it('confluent S10: the words of a registry that refuses a schema are answered', async () => {
      registry.script = ({ url }) =>
        url.endsWith('/versions')
          ? { status: 409, body: { error_code: 409, message: 'not compatible, it says' } }
          : undefined
      const seen = await produceV2(stage, topic, INT)
      expect(codeOf(seen)).to.deep.equal([422, 42207])
      expect((seen.body as ErrorBody).message).to.contain('not compatible, it says')
      registry.script = () => ({ status: 403, body: { error_code: 40301, message: 'Castellan may not' } })
      const other = await stage.topic(1)
      expect(codeOf(await produceV2(stage, other, INT))).to.deep.equal([403, 40301])
      for (const name of [topic, other]) expect(await stage.endOf(name, 0)).to.equal(0)
    })

    it('confluent S11: a read waits for a registry that is away, and names no record as undecodable meanwhile', async () => {
      await produceV2(stage, topic, INT)
      const id = registry.add(`${topic}-more`, '{"type":"fixed","name":"F","size":1}')
      const bytes = Buffer.from([0, 0, 0, 0, id, 7]).toString('base64')
      await stage.produce(topic, 'application/vnd.kafka.binary.v2+json', [{ value: bytes }])
      registry.script = () => ({ status: 500, body: '' })
      const instance = await readerOf(stage, topic, 'avro')
      const skip = { 'x-castellan-undecodable': 'skip' }
      expect((await readSome(stage, instance, 'avro', 1, skip)).map(({ offset }) => offset)).to.deep.equal([0])
      const { status, body } = await readOnce(stage, instance, 'avro', skip)
      expect([status, (body as ErrorBody).error_code]).to.deep.equal([500, 50003])
      registry.script = () => undefined
      await new Promise(resolve => setTimeout(resolve, 6_000))
      expect((await readSome(stage, instance, 'avro', 1, skip)).map(({ offset }) => offset)).to.deep.equal([1])
    })

    it('a header of undecodable records that has another value is refused', async () => {
      const instance = await readerOf(stage, topic, 'avro')
      const { status, body } = await readOnce(stage, instance, 'avro', { 'x-castellan-undecodable': 'drop' })
      expect([status, (body as ErrorBody).error_code]).to.deep.equal([400, 400])
    })

    it('records of another format than that of the instance are undecodable', async () => {
      await produceV2(stage, topic, registeredInt())
      const instance = await readerOf(stage, topic, 'protobuf')
      const { body } = await readOnce(stage, instance, 'protobuf')
      expect((body as ErrorBody).message).to.contain('has a value of the format AVRO, and not PROTOBUF')
    })
  })
})
