import type {
  DescribeBrokerConfigsCall,
  DescribeBrokerConfigsResponse,
  DescribeTopicConfigsCall,
  DescribeTopicConfigsResponse
} from '../calls.js'
import { errorCodes } from '../error-codes.js'
import type { Api } from './api.js'
import type { ResponseReader } from './response-reader.js'

const TOPIC = 2
const BROKER = 4
/** The source of a setting that a topic has for itself. */
const OF_TOPIC = 1

/**
 * Version 2, for topics.
 *
 * Request: `[resource_type i8, resource_name, [config_name]?], include_synonyms bool`
 * Response: `throttle_time_ms i32, [error_code i16, error_message?, resource_type i8, resource_name,
 *   [name, value?, read_only bool, source i8, is_sensitive bool, [synonym name, value?, source i8]]]`
 */
export const describeConfigsV2: Api<DescribeTopicConfigsCall, DescribeTopicConfigsResponse> = {
  key: 32,
  version: 2,
  name: 'DescribeConfigs',
  encode(writer, { topics, names }) {
    writer.array(topics, topic => {
      writer.int8(TOPIC)
      writer.string(topic)
      if (names === null) writer.int32(-1)
      else writer.array(names, name => writer.string(name))
    })
    writer.boolean(false)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    topics: reader.array(11, () => {
      const errorCode = reader.int16()
      reader.nullableString()
      reader.int8()
      const topic = reader.string()
      return { topic, errorCode, ...readConfigs(reader) }
    })
  })
}

/** The same for the settings of one broker. */
export const describeBrokerConfigsV2: Api<DescribeBrokerConfigsCall, DescribeBrokerConfigsResponse> = {
  key: 32,
  version: 2,
  name: 'DescribeConfigs',
  encode(writer, { nodeId, names }) {
    writer.array([String(nodeId)], node => {
      writer.int8(BROKER)
      writer.string(node)
      writer.array(names, name => writer.string(name))
    })
    writer.boolean(false)
  },
  decode(reader) {
    const throttleTimeMs = reader.int32()
    const [described] = reader.array(11, () => {
      const errorCode = reader.int16()
      reader.nullableString()
      reader.int8()
      reader.string()
      return { errorCode, configs: readConfigs(reader).configs }
    })
    return { throttleTimeMs, ...(described ?? NOTHING) }
  }
}

const NOTHING = { errorCode: errorCodes.NONE, configs: new Map<string, string | null>() }

function readConfigs(reader: ResponseReader): {
  configs: ReadonlyMap<string, string | null>
  overrides: ReadonlySet<string>
} {
  const configs = reader.array(11, () => readConfig(reader))
  const own = configs.filter(({ source }) => source === OF_TOPIC).map(({ name }) => name)
  return { configs: new Map(configs.map(({ name, value }) => [name, value])), overrides: new Set(own) }
}

function readConfig(reader: ResponseReader): { name: string; value: string | null; source: number } {
  const name = reader.string()
  const value = reader.nullableString()
  reader.boolean()
  const source = reader.int8()
  reader.boolean()
  reader.array(5, () => {
    reader.string()
    reader.nullableString()
    reader.int8()
  })
  return { name, value, source }
}
