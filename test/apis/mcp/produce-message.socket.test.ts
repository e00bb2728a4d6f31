import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { type Called, McpGateway } from './stage.js'

describe('produce_message', () => {
  let gateway: McpGateway
  before(async () => {
    gateway = await McpGateway.open({ write: true }, { delivery: { createTopics: false } })
    gateway.cluster.createTopic('orders', { partitions: 1 })
  })
  after(() => gateway.close())

  const write = (args: object): Promise<Called> => gateway.call('produce_message', { topic: 'orders', ...args })
  const lastOf = async (count: number): Promise<unknown[]> => {
    const { structuredContent } = await gateway.call('read_messages', { topic: 'orders', count })
    const records = structuredContent.records as { partition: number; timestamp: number; offset: number }[]
    return records.map(({ partition, timestamp, offset, ...rest }) => rest)
  }

  it('says where the record is, which is in Kafka', async () => {
    const headers = [
      { name: 'trace', value: 'a' },
      { name: 'none', value: null }
    ]
    const { isError, structuredContent } = await write({ key: 'k', value: 'hello', headers })
    expect(isError).to.equal(undefined)
    expect(structuredContent).to.include({ topic: 'orders', persisted: 'yes', partition: 0, offset: 0 })
    expect(await lastOf(1)).to.deep.equal([{ key: 'k', value: 'hello', headers }])
  })

  it('writes null, empty and bytes as they are', async () => {
    await write({ key: 'k', value: null })
    await write({ key: '', value: '' })
    await write({ value: '/w==', encoding: 'base64' })
    expect(await lastOf(3)).to.deep.equal([
      { key: 'k', value: null },
      { key: '', value: '' },
      { key: null, value: '/w==', value_encoding: 'base64' }
    ])
  })

  it('names what is no base64, in the text of the error, too', async () => {
    const header = { name: 'h', value: 'no base64!', value_encoding: 'base64' }
    for (const [name, args] of Object.entries({
      value: { value: 'no base64!', encoding: 'base64' },
      key: { value: '/w==', key: 'no base64!', encoding: 'base64' },
      headers: { value: 'v', headers: [header] }
    })) {
      const { isError, structuredContent, content } = await write(args)
      const message = 'An argument is no base64.'
      expect([isError, structuredContent]).to.deep.equal([
        true,
        { error: 'notBase64', message, arguments: [name], persisted: 'no' }
      ])
      expect(JSON.parse(content[0]!.text)).to.deep.equal(structuredContent)
    }
  })

  it('writes headers as read_messages gives them', async () => {
    const headers = [
      { name: 'trace', value: 'a' },
      { name: 'binary', value: '/w==', value_encoding: 'base64' },
      { name: 'none', value: null }
    ]
    await write({ value: 'v', headers })
    expect(await lastOf(1)).to.deep.equal([{ key: null, value: 'v', headers }])
  })

  it('says that nothing was written also where the arguments, the rights or the place are refused', async () => {
    const { structuredContent } = await write({ value: 'v', partition: -1 })
    expect(structuredContent).to.deep.include({ error: 'invalidArguments', arguments: ['partition'], persisted: 'no' })
  })

  it('refuses half a pair of surrogates, which has no bytes, and takes whole ones', async () => {
    const half = 'a\ud800b'
    for (const args of [
      { value: half },
      { value: 'v', key: half },
      { value: 'v', headers: [{ name: 'h', value: half }] }
    ]) {
      const { isError, structuredContent } = await write(args)
      expect([isError, structuredContent.error, structuredContent.persisted]).to.deep.equal([
        true,
        'invalidArguments',
        'no'
      ])
    }
    await write({ key: null, value: 'a😀b' })
    expect(await lastOf(1)).to.deep.equal([{ key: null, value: 'a😀b' }])
  })

  it('writes once for an idempotency_key, whatever the id of the message', async () => {
    const args = { key: 'k', value: 'once', idempotency_key: 'a "key" of mine' }
    const [first, again] = [await write(args), await write(args)]
    expect(first.structuredContent).to.include({ persisted: 'yes' })
    expect(again).to.deep.equal(first)
    const { offset } = first.structuredContent
    expect((await write({ value: 'next' })).structuredContent.offset).to.equal(Number(offset) + 1)
    const other = await write({ ...args, value: 'another' })
    expect([other.isError, other.structuredContent.error, other.structuredContent.persisted]).to.deep.equal([
      true,
      'keyUsed',
      'no'
    ])
  })

  it('says that Kafka refuses a record, whose key was used for no other', async () => {
    const errorCode = errorCodes.INVALID_RECORD
    gateway.cluster.faults.add({ api: 'Produce', topic: 'orders', count: 2 }, { type: 'error', errorCode })
    for (const more of [{}, { idempotency_key: 'refused' }]) {
      const { structuredContent } = await write({ value: 'v', ...more })
      expect(structuredContent).to.deep.include({ error: 'recordRejected', persisted: 'no' })
      expect(structuredContent.kafka).to.include({ errorCode })
    }
  })

  it('says that nothing was written where the topic is none', async () => {
    const codes = []
    for (const args of [
      { topic: 'nowhere', value: 'x' },
      { topic: 'a b', value: 'x' },
      { partition: 7, value: 'x' }
    ]) {
      const { structuredContent } = await write(args)
      codes.push([structuredContent.error, structuredContent.persisted])
    }
    expect(codes).to.deep.equal([
      ['unknownTopic', 'no'],
      ['invalidTopic', 'no'],
      ['unknownPartition', 'no']
    ])
  })

  it('is told to agents as what changes something', async () => {
    const client = await gateway.client('2026-07-28')
    const { tools } = await client.listTools()
    await client.close()
    expect(tools.filter(({ annotations }) => annotations?.readOnlyHint !== true).map(({ name }) => name)).to.deep.equal(
      ['produce_message']
    )
    expect(Buffer.byteLength(JSON.stringify(tools))).to.be.below(12_000)
  })
})
