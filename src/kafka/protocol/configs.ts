import type { CallOptions, Configs, Throttled } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { type Api, atMost, noMoreThanAsked } from './api.js'
import type { RequestWriter, ResponseReader } from './encoding.js'

const TOPIC = 2
const BROKER = 4

export interface ConfigResourceId {
  readonly type: 'topic' | 'broker'
  /** The name of a topic, or the id of a broker. An empty name of type `broker`: the defaults of all brokers. */
  readonly name: string
}

/** Where the value of a setting comes from, as Kafka prints it. */
export type ConfigSource =
  | 'UNKNOWN'
  | 'DYNAMIC_TOPIC_CONFIG'
  | 'DYNAMIC_BROKER_CONFIG'
  | 'DYNAMIC_DEFAULT_BROKER_CONFIG'
  | 'STATIC_BROKER_CONFIG'
  | 'DEFAULT_CONFIG'
  | 'DYNAMIC_BROKER_LOGGER_CONFIG'
  | 'DYNAMIC_CLIENT_METRICS_CONFIG'
  | 'DYNAMIC_GROUP_CONFIG'

/** By their numbers in the protocol. Source: org.apache.kafka.common.requests.DescribeConfigsResponse.ConfigSource. */
const SOURCES: readonly ConfigSource[] = [
  'UNKNOWN',
  'DYNAMIC_TOPIC_CONFIG',
  'DYNAMIC_BROKER_CONFIG',
  'DYNAMIC_DEFAULT_BROKER_CONFIG',
  'STATIC_BROKER_CONFIG',
  'DEFAULT_CONFIG',
  'DYNAMIC_BROKER_LOGGER_CONFIG',
  'DYNAMIC_CLIENT_METRICS_CONFIG',
  'DYNAMIC_GROUP_CONFIG'
]

interface ConfigValue {
  readonly name: string
  /** `null`: Kafka does not reveal the value, or there is none. */
  readonly value: string | null
  readonly source: ConfigSource
}
export interface DescribedConfig extends ConfigValue {
  readonly isReadOnly: boolean
  readonly isSensitive: boolean
  /** The values that Kafka considers, the one that counts first. Empty unless the call asks for them. */
  readonly synonyms: readonly ConfigValue[]
}

export interface DescribeConfigsCall extends CallOptions {
  readonly resources: readonly ConfigResourceId[]
  /** The settings to describe; absent: all. */
  readonly names?: readonly string[] | undefined
  readonly withSynonyms?: boolean
}
export interface DescribeConfigsResponse extends Throttled {
  readonly resources: readonly {
    readonly name: string
    readonly errorCode: number
    readonly errorMessage: string | null
    readonly configs: readonly DescribedConfig[]
  }[]
}

/** Limit of settings and synonyms in one response. A topic has about 40 settings, with two synonyms each. */
const MAX_CONFIGS = 3_000_000

/**
 * Version 2.
 *
 * Request: `[resource_type i8, resource_name, [config_name]?], include_synonyms bool`
 * Response: `throttle_time_ms i32, [error_code i16, error_message?, resource_type i8, resource_name,
 *   [name, value?, read_only bool, source i8, is_sensitive bool, [synonym name, value?, source i8]]]`
 */
export const describeConfigsV2: Api<DescribeConfigsCall, DescribeConfigsResponse> = {
  key: 32,
  version: 2,
  name: 'DescribeConfigs',
  encode(writer, { resources, names = null, withSynonyms = false }) {
    writer.array(resources, resource => {
      writeResource(writer, resource)
      writer.nullableArray(names, name => writer.string(name))
    })
    writer.boolean(withSynonyms)
  },
  decode: (reader, { resources }) => ({
    throttleTimeMs: reader.int32(),
    resources: readResources(reader, resources.length)
  })
}

/** The values of settings by their names. */
export const valuesOf = (configs: readonly ConfigValue[]): Configs =>
  new Map(configs.map(({ name, value }) => [name, value]))

function writeResource(writer: RequestWriter, { type, name }: ConfigResourceId): void {
  writer.int8(type === 'topic' ? TOPIC : BROKER)
  writer.string(name)
}

function readResources(reader: ResponseReader, asked: number): DescribeConfigsResponse['resources'] {
  const inAll = atMost(MAX_CONFIGS, 'settings')
  const readResource = () => {
    const errorCode = reader.int16()
    const errorMessage = reader.nullableString()
    reader.int8()
    const name = reader.string()
    return { name, errorCode, errorMessage, configs: reader.array(11, () => readConfig(reader, inAll), inAll) }
  }
  return reader.array(11, readResource, noMoreThanAsked(asked, 'resources'))
}

function readConfig(reader: ResponseReader, inAll: (count: number) => void): DescribedConfig {
  const name = reader.string()
  const value = reader.nullableString()
  const isReadOnly = reader.boolean()
  const source = readSource(reader)
  const isSensitive = reader.boolean()
  const readSynonym = (): ConfigValue => ({
    name: reader.string(),
    value: reader.nullableString(),
    source: readSource(reader)
  })
  return { name, value, isReadOnly, source, isSensitive, synonyms: reader.array(5, readSynonym, inAll) }
}

const readSource = (reader: ResponseReader): ConfigSource => SOURCES[reader.int8()] ?? 'UNKNOWN'

/** Changes settings of one resource, all or none. */
export interface AlterConfigsCall extends CallOptions {
  readonly resource: ConfigResourceId
  /** `value` null: the setting gets its default again. */
  readonly changes: readonly { readonly name: string; readonly value: string | null }[]
  /** True: the change is only checked. */
  readonly validateOnly: boolean
}
export interface AlterConfigsResponse extends Throttled {
  readonly errorCode: number
  readonly errorMessage: string | null
}

const SET = 0
const DELETE = 1

/**
 * Version 0 (Kafka 2.3).
 *
 * Request: `[resource_type i8, resource_name, [name, operation i8, value?]], validate_only bool`
 * Response: `throttle_time_ms i32, [error_code i16, error_message?, resource_type i8, resource_name]`
 */
export const incrementalAlterConfigsV0: Api<AlterConfigsCall, AlterConfigsResponse> = {
  key: 44,
  version: 0,
  name: 'IncrementalAlterConfigs',
  encode(writer, { resource, changes, validateOnly }) {
    writer.array([resource], () => {
      writeResource(writer, resource)
      writer.array(changes, ({ name, value }) => {
        writer.string(name)
        writer.int8(value === null ? DELETE : SET)
        writer.nullableString(value)
      })
    })
    writer.boolean(validateOnly)
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const readResult = () => {
      const result = { errorCode: reader.int16(), errorMessage: reader.nullableString() }
      reader.int8()
      reader.string()
      return result
    }
    const [result = NO_RESULT] = reader.array(7, readResult, noMoreThanAsked(1, 'resources'))
    return { throttleTimeMs, ...result }
  }
}

/** For a response without an answer about the resource, which no broker sends. */
const NO_RESULT = { errorCode: errorCodes.UNKNOWN_SERVER_ERROR, errorMessage: null }
