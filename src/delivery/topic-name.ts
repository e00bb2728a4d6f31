const legal = /^[a-zA-Z0-9._-]{1,249}$/

/** Kafka's rule for topic names. `__proto__` is a legal one. Source: org.apache.kafka.common.internals.Topic */
export const isLegalTopicName = (topic: string): boolean => legal.test(topic) && topic !== '.' && topic !== '..'
