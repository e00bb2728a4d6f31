import { expect } from 'chai'
import type {
  BrokerClient,
  DescribeBrokerConfigsCall,
  DescribeBrokerConfigsResponse,
  MetadataResponse
} from '../../../src/kafka/broker-client.js'
import { AutoCreation } from '../../../src/router/routing/auto-creation.js'
import { turns } from '../../support/ticks.js'

const SETTING = 'auto.create.topics.enable'
const CLUSTER_AUTHORIZATION_FAILED = 31
const MINUTE_MS = 60_000
const addressOf = (port: number) => ({ host: 'broker', port })
const metadata: MetadataResponse = {
  throttleTimeMs: 0,
  brokers: [1, 2].map(nodeId => ({ nodeId, ...addressOf(nodeId), rack: null })),
  clusterId: null,
  controllerId: 1,
  topics: []
}

describe('router: whether brokers create topics', () => {
  let asked: DescribeBrokerConfigsCall[]
  let answer: () => Promise<DescribeBrokerConfigsResponse>
  let creation: AutoCreation
  const says =
    (value: string | null, errorCode = 0) =>
    async (): Promise<DescribeBrokerConfigsResponse> => ({
      throttleTimeMs: 0,
      errorCode,
      configs: new Map(value === null ? [] : [[SETTING, value]])
    })
  beforeEach(() => {
    asked = []
    answer = says('false')
    creation = new AutoCreation(1_500)
  })
  const client = {
    describeBrokerConfigs: (call: DescribeBrokerConfigsCall) => {
      asked.push(call)
      return answer()
    }
  } as BrokerClient
  const wasAsked = async (port: number, now = 0): Promise<boolean> => {
    creation.wasAsked(client, addressOf(port), metadata, now)
    await turns(2)
    return creation.isOff
  }

  it('is not known before a broker was asked and has answered', async () => {
    expect(creation.isOff).to.equal(false)
    creation.wasAsked(client, addressOf(1), metadata, 0)
    expect(creation.isOff, 'asked').to.equal(false)
    await turns(2)
    expect(creation.isOff, 'answered').to.equal(true)
    expect(asked).to.deep.equal([{ nodeId: 1, names: [SETTING], timeoutMs: 1_500 }])
  })

  it('is asked of each broker once in a minute', async () => {
    expect(await wasAsked(1)).to.equal(true)
    await wasAsked(1, MINUTE_MS)
    expect(await wasAsked(2, MINUTE_MS)).to.equal(true)
    expect(asked.map(({ nodeId }) => nodeId)).to.deep.equal([1, 2])
    answer = says('true')
    expect(await wasAsked(1, MINUTE_MS + 1), 'it was started with another setting').to.equal(false)
  })

  it('is that they may when one of them does, does not say, may not be asked, or fails', async () => {
    const others = [says('true'), says(null), says('false', CLUSTER_AUTHORIZATION_FAILED), says('maybe')]
    for (const other of [...others, () => Promise.reject(new Error('connection lost'))]) {
      creation.clear()
      answer = says('false')
      expect(await wasAsked(1)).to.equal(true)
      answer = other
      expect(await wasAsked(2)).to.equal(false)
    }
  })

  it('is not asked behind an address that is none of a broker', async () => {
    expect(await wasAsked(3)).to.equal(false)
    expect(asked).to.deep.equal([])
    expect(await wasAsked(1)).to.equal(false)
    expect(await wasAsked(1, 2 * MINUTE_MS + 1), 'the address was not used any more').to.equal(true)
  })
})
