import { expect } from 'chai'
import {
  type Castellan,
  CastellanError,
  type EmbeddedCluster,
  openCastellan,
  type ReadOptions,
  startEmbeddedCluster
} from '../../../src/index.js'

describe('castellan.read', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan

  before(async () => {
    cluster = await startEmbeddedCluster()
    castellan = await openCastellan({ brokers: cluster.bootstrap })
    cluster.createTopic('orders', { partitions: 2 })
    await write(0, 'a', 'b', 'c')
    await write(1, 'x', 'y')
  })
  after(async () => {
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  async function write(partition: number, ...values: string[]): Promise<void> {
    await castellan.produceOrThrow(values.map(value => ({ topic: 'orders', partition, value, headers: { h: null } })))
  }

  async function read(options?: ReadOptions): Promise<string[]> {
    const values: string[] = []
    for await (const { partition, offset, value } of castellan.read('orders', options)) {
      values.push(`${partition}@${offset}=${value}`)
    }
    return values
  }

  const codeOf = async (topic: string, options?: ReadOptions): Promise<string> => {
    try {
      for await (const _ of castellan.read(topic, options)) expect.fail('a record')
    } catch (error) {
      expect(error).to.be.instanceOf(CastellanError)
      return (error as CastellanError).code
    }
    return 'none'
  }

  it('reads several topics, each from its own start to its own end, and tells of one that does not exist', async () => {
    cluster.createTopic('returns')
    await castellan.produceOrThrow({ topic: 'returns', partition: 0, value: 'r' })
    const places: string[] = []
    for await (const { topic, partition, offset } of castellan.read(['orders', 'returns', 'orders'], {
      from: { last: 1 }
    }))
      places.push(`${topic}/${partition}@${offset}`)
    expect(places.sort()).to.deep.equal(['orders/0@2', 'orders/1@1', 'returns/0@0'])
    const missing = async () => {
      for await (const _ of castellan.read(['orders', 'nowhere']));
    }
    expect(await missing().catch(({ message }: Error) => message)).to.equal('topic nowhere does not exist')
  })

  it('ends with the block of its await using', async () => {
    await using reader = castellan.read('orders', { follow: true })
    expect((await reader.next()).done).to.equal(false)
  })

  it('says which option was meant', () => {
    const problemOf = (topic: unknown, options: object): string => {
      try {
        castellan.read(topic as string, options)
        return 'none'
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(problemOf('orders', { start: 'earliest' })).to.equal('read: there is no option start; did you mean from?')
    expect(problemOf('orders', { folow: true })).to.match(/did you mean follow\?/)
    for (const from of ['begin', { offset: '3' }, { timestampMs: -1 }, { offset: 1, last: 2 }, null])
      expect(problemOf('orders', { from })).to.match(
        /^from: expected earliest, latest, {timestampMs}, {offset} or {last}/
      )
    for (const topic of ['', [], ['orders', ''], undefined])
      expect(problemOf(topic, {})).to.match(/the name of a topic is needed/)
    expect(problemOf(['orders', 'returns'], { partitions: [0] })).to.match(/single topic/)
  })

  it('gives every record with its place, in order per partition, and ends where the logs ended', async () => {
    const records = await read()
    expect(records.filter(text => text.startsWith('0'))).to.deep.equal(['0@0=a', '0@1=b', '0@2=c'])
    expect(records.filter(text => text.startsWith('1'))).to.deep.equal(['1@0=x', '1@1=y'])
    for await (const record of castellan.read('orders', { partitions: [1] })) {
      expect(record).to.have.all.keys('topic', 'partition', 'offset', 'timestampMs', 'key', 'value', 'headers')
      expect(record.headers).to.deep.equal([{ key: 'h', value: null }])
    }
  })

  it('starts at an end, an offset, a time, or some records before the end', async () => {
    expect(await read({ from: 'latest' })).to.deep.equal([])
    expect(await read({ from: { offset: 1 }, partitions: [0] })).to.deep.equal(['0@1=b', '0@2=c'])
    expect(await read({ from: { last: 1 }, partitions: [1, 1] })).to.deep.equal(['1@1=y'])
    expect(await read({ from: { timestampMs: 0 }, partitions: [1] })).to.deep.equal(['1@0=x', '1@1=y'])
  })

  it('reads the same partitions several times at once', async () => {
    const all = await Promise.all([read(), read(), read({ partitions: [1] })])
    expect(all.map(records => records.length)).to.deep.equal([5, 5, 2])
  })

  it('says by a code why a topic cannot be read', async () => {
    expect(await codeOf('nowhere')).to.equal('unknownTopic')
    expect(await codeOf('no topic')).to.equal('invalidTopic')
    expect(await codeOf('orders', { partitions: [7] })).to.equal('unknownPartition')
    expect(await codeOf('orders', { from: { offset: 100 }, follow: true })).to.equal('invalidRequest')
  })

  it('ends with an error when castellan is closed while it waits', async () => {
    const other = await openCastellan({ brokers: cluster.bootstrap })
    const codes: string[] = []
    const wait = async (): Promise<void> => {
      for await (const _ of other.read('orders', { from: { last: 1 }, follow: true, partitions: [0] })) {
        // A record has come: from now on it waits.
        void other.close({ timeoutMs: 0 })
      }
    }
    for (const reading of [wait, wait]) await reading().catch((error: CastellanError) => codes.push(error.code))
    expect(codes).to.deep.equal(['shuttingDown', 'shuttingDown'])
  })
})
