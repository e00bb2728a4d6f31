import { z } from 'zod'
import { json, type Operation } from '../../../http/openapi/operation.js'
import type { Described } from '../v2/operations.js'
import { alterBody, alterTopicsBody, valueBody } from './change-bodies.js'
import {
  broker_id,
  CLUSTER,
  cluster_id,
  done,
  listOf,
  ofTopic,
  read,
  refused,
  resource,
  TOPIC,
  text
} from './operation-parts.js'

const configMembers = {
  name: text,
  value: text.nullable(),
  is_default: z.boolean(),
  is_read_only: z.boolean(),
  is_sensitive: z.boolean(),
  source: text,
  synonyms: z.array(z.object({ name: text, value: text.nullable(), source: text }))
}
const ofTopicConfig = resource('KafkaTopicConfig', { topic_name: text, ...configMembers })
const ofBrokerConfig = resource('KafkaBrokerConfig', { broker_id: z.int(), ...configMembers })
const ofClusterConfig = resource('KafkaClusterConfig', { config_type: z.literal('BROKER'), ...configMembers })

const BROKERS = `${CLUSTER}/brokers`
const BROKER_CONFIGS = `${BROKERS}/{broker_id}/configs`
const CLUSTER_CONFIGS = `${CLUSTER}/broker-configs`
const ofBroker = { cluster_id, broker_id }

const failures = z.object({
  failures: z.array(z.object({ topic_name: text, error_code: z.int(), message: text }))
})

function set(path: string, params: Operation['params'], of: string): Described {
  return {
    method: 'put',
    path: `${path}/{name}`,
    params: { ...params, name: text },
    summary: `Sets a setting of ${of}`,
    body: { description: 'Its value', content: json(valueBody) },
    answers: { ...refused, ...done }
  }
}

function reset(path: string, params: Operation['params'], of: string): Described {
  return {
    method: 'delete',
    path: `${path}/{name}`,
    params: { ...params, name: text },
    summary: `Gives a setting of ${of} its default again`,
    answers: { ...refused, ...done }
  }
}

function alter(path: string, params: Operation['params'], of: string): Described {
  return {
    method: 'post',
    path: `${path}:alter`,
    ...(params && { params }),
    summary: `Changes settings of ${of}, all or none`,
    body: { description: 'The changes', content: json(alterBody) },
    answers: { ...refused, ...done }
  }
}

/** The operations of version 3 on settings of topics and brokers, by id. */
export const v3ConfigOperations = {
  listTopicConfigs: read(`${TOPIC}/configs`, ofTopic, 'The settings of a topic', listOf(ofTopicConfig)),
  getTopicConfig: read(`${TOPIC}/configs/{name}`, { ...ofTopic, name: text }, 'A setting of a topic', ofTopicConfig),
  setTopicConfig: set(`${TOPIC}/configs`, ofTopic, 'a topic'),
  resetTopicConfig: reset(`${TOPIC}/configs`, ofTopic, 'a topic'),
  alterTopicConfigs: alter(`${TOPIC}/configs`, ofTopic, 'a topic'),
  listAllTopicConfigs: read(
    `${CLUSTER}/topics/-/configs`,
    { cluster_id },
    'The settings of all topics',
    listOf(ofTopicConfig)
  ),
  alterAllTopicConfigs: {
    method: 'post',
    path: `${CLUSTER}/topics/-/configs:alter`,
    params: { cluster_id },
    summary: 'Changes settings of several topics',
    body: { description: 'The changes of each topic', content: json(alterTopicsBody) },
    answers: {
      ...refused,
      ...done,
      207: { description: 'These topics could not be changed, all others are', content: json(failures) }
    }
  },
  listBrokerConfigs: read(BROKER_CONFIGS, ofBroker, 'The settings of a broker', listOf(ofBrokerConfig)),
  getBrokerConfig: read(
    `${BROKER_CONFIGS}/{name}`,
    { ...ofBroker, name: text },
    'A setting of a broker',
    ofBrokerConfig
  ),
  setBrokerConfig: set(BROKER_CONFIGS, ofBroker, 'a broker'),
  resetBrokerConfig: reset(BROKER_CONFIGS, ofBroker, 'a broker'),
  alterBrokerConfigs: alter(BROKER_CONFIGS, ofBroker, 'a broker'),
  listAllBrokerConfigs: read(
    `${BROKERS}/-/configs`,
    { cluster_id },
    'The settings of all brokers',
    listOf(ofBrokerConfig)
  ),
  listClusterConfigs: read(
    CLUSTER_CONFIGS,
    { cluster_id },
    'The settings that all brokers share',
    listOf(ofClusterConfig)
  ),
  getClusterConfig: read(
    `${CLUSTER_CONFIGS}/{name}`,
    { cluster_id, name: text },
    'A setting that all brokers share',
    ofClusterConfig
  ),
  setClusterConfig: set(CLUSTER_CONFIGS, { cluster_id }, 'all brokers'),
  resetClusterConfig: reset(CLUSTER_CONFIGS, { cluster_id }, 'all brokers'),
  alterClusterConfigs: alter(CLUSTER_CONFIGS, { cluster_id }, 'all brokers')
} as const satisfies Readonly<Record<string, Described>>
