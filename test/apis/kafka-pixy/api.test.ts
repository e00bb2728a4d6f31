import { expect } from 'chai'
import { kafkaPixyOperations } from '../../../src/apis/kafka-pixy/routes.js'
import { type Content, type Operation, parametersOf, toJsonSchema } from '../../../src/http/openapi/operation.js'
import { checkRows } from '../../support/rows.js'

interface Schema {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Schema
}

/** `{a: integer, b?: [string]}` */
function shape({ type, enum: values, anyOf, items, properties, required = [], additionalProperties }: Schema): string {
  if (values !== undefined) return values.join('|')
  if (anyOf !== undefined) return anyOf.map(shape).join(' or ')
  if (type === 'array') return `[${shape(items!)}]`
  if (additionalProperties !== undefined) return `by name ${shape(additionalProperties)}`
  if (properties === undefined || Object.keys(properties).length === 0) return type ?? 'any'
  const members = Object.entries(properties).map(
    ([name, schema]) => `${name}${required.includes(name) ? '' : '?'}: ${shape(schema)}`
  )
  return `{${members.join(', ')}}`
}

const contentOf = (content: Content = {}): string[] =>
  Object.entries(content).map(([type, schema]) => `${type} ${shape(toJsonSchema(schema, 'input'))}`)

const parameter = ({ name, in: place, required, schema }: ReturnType<typeof parametersOf>[number]): string => {
  const type = shape(schema as Schema)
  return `${place} ${name}${required && place === 'query' ? '!' : ''}${type === 'string' ? '' : ` ${type}`}`
}

const isOfCluster = ({ path }: Operation): boolean => path.startsWith('/clusters/')
const main = kafkaPixyOperations.filter(operation => !isOfCluster(operation))
const byId = (id: string): Operation => main.find(operation => operation.id === id)!

const MESSAGE =
  '{key: any, value: any, partition: integer, offset: integer, headers: [{key: string, value: string or null}], timestamp?: integer, undecodable?: {key?: string, value?: string}}'
const TOPIC =
  '{config?: {version: integer, config: by name string}, partitions?: [{partition: integer, leader: integer, replicas: [integer], isr: [integer]}]}'
const WHERE = ['path topic', 'query group!']
const ENCODING = 'query encoding base64|text|schema'

interface Described {
  readonly ask: string
  readonly parameters: readonly string[]
  readonly body?: readonly string[]
  readonly answer: readonly string[]
  readonly refusals: readonly number[]
}

/** What a client may ask for, and what it may be answered. */
const described: Readonly<Record<string, Described>> = {
  produceMessage: {
    ask: 'post /topics/{topic}/messages',
    parameters: ['path topic', 'query key', 'query sync', 'query timestamp', 'query persisted'],
    body: ['text/plain string', 'application/json any', 'application/x-www-form-urlencoded {msg: string}'],
    answer: ['application/json {partition?: integer, offset?: integer}'],
    refusals: [400, 401, 403, 404, 413, 429, 500, 503]
  },
  consumeMessage: {
    ask: 'get /topics/{topic}/messages',
    parameters: [
      ...WHERE,
      'query noAck',
      'query ackPartition integer',
      'query ackOffset integer',
      'query count integer',
      'query timestamp',
      ENCODING
    ],
    answer: [`application/json ${MESSAGE} or [${MESSAGE}]`],
    refusals: [400, 403, 408, 429, 500, 503]
  },
  tailTopic: {
    ask: 'get /topics/{topic}/tail',
    parameters: ['path topic', 'query partition', 'query from earliest|latest', 'query timestamp', ENCODING],
    answer: ['text/event-stream string'],
    refusals: [400, 403, 404, 429, 500, 503]
  },
  ackMessage: {
    ask: 'post /topics/{topic}/acks',
    parameters: [...WHERE, 'query partition! integer', 'query offset! integer'],
    answer: ['application/json object'],
    refusals: [400, 403, 500, 503]
  },
  readOffsets: {
    ask: 'get /topics/{topic}/offsets',
    parameters: WHERE,
    answer: [
      'application/json [{partition: integer, begin: integer, end: integer, count: integer, offset: integer, lag: integer, metadata?: string, sparse_acks?: string}]'
    ],
    refusals: [400, 403, 404, 500, 503]
  },
  writeOffsets: {
    ask: 'post /topics/{topic}/offsets',
    parameters: WHERE,
    body: ['application/json [{partition: integer, offset: integer, metadata?: string}]'],
    answer: ['application/json object'],
    refusals: [400, 403, 404, 409, 500, 503]
  },
  readConsumers: {
    ask: 'get /topics/{topic}/consumers',
    parameters: ['path topic', 'query group'],
    answer: ['application/json by name by name [integer]'],
    refusals: [400, 403, 500, 503]
  },
  listTopics: {
    ask: 'get /topics',
    parameters: ['query withPartitions', 'query withConfig'],
    answer: [`application/json [string] or by name ${TOPIC}`],
    refusals: [400, 403, 500, 503]
  },
  describeTopic: {
    ask: 'get /topics/{topic}',
    parameters: ['path topic', 'query withPartitions'],
    answer: [`application/json ${TOPIC}`],
    refusals: [400, 403, 500, 503]
  },
  ping: { ask: 'get /_ping', parameters: [], answer: ['text/plain string'], refusals: [] }
}

describe("pixy: the description of Kafka-Pixy's API", () => {
  it('names every operation', () => {
    expect(main.map(({ id }) => id)).to.have.members(Object.keys(described))
  })

  it('the description tells of each operation what it takes and answers', () =>
    checkRows(Object.entries(described), ([id, { ask, parameters, body = [], answer, refusals }]) => {
      const operation = byId(id)
      expect(`${operation.method} ${operation.path}`).to.equal(ask)
      expect(parametersOf(operation).map(parameter)).to.deep.equal(parameters)
      expect(contentOf(operation.body?.content)).to.deep.equal(body)
      expect(contentOf(operation.answers[200]!.content)).to.deep.equal(answer)
      expect(operation.produces === true).to.equal(id === 'produceMessage')
      const { 200: _, ...others } = operation.answers
      expect(Object.keys(others).map(Number)).to.deep.equal(refusals)
      for (const refusal of Object.values(others)) {
        expect(contentOf(refusal.content)).to.deep.equal(['application/json {error: string}'])
      }
    }))

  it('tells the same of each operation below the name of a cluster, but for ping', () => {
    const below = main
      .filter(({ id }) => id !== 'ping')
      .map(operation => [`/clusters/{cluster}${operation.path}`, `${operation.id}OfCluster`, operation])
    const found = kafkaPixyOperations.filter(isOfCluster).map(({ params, ...operation }) => {
      const { cluster, ...others } = params!
      expect(cluster!.description).to.equal('The cluster')
      const same = main.find(({ id }) => `${id}OfCluster` === operation.id)!
      const { path, id } = operation
      return [path, id, { ...operation, path: same.path, id: same.id, ...(same.params && { params: others }) }]
    })
    expect(found).to.have.deep.members(below)
  })
})
