// sqs-consumer in its quickest form: whole batches to the handler, and batch deletes. A consumer has one handler in
// flight, so there are as many consumers as handlers, on one client. It hands out its own messages, not Lambda's event.
"use strict";

const { createRequire } = require("node:module");
const { Agent } = require("node:http");

const plan = JSON.parse(process.argv[2]);
const load = createRequire(`${plan.modules}/`);
const { SQSClient } = load("@aws-sdk/client-sqs");
const { Consumer } = load("sqs-consumer");

const sqs = new SQSClient({
  endpoint: plan.url,
  region: "eu-west-1",
  credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
  requestHandler: { httpAgent: new Agent({ keepAlive: true, maxSockets: 2 * plan.handlers }) },
});

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

for (let i = 0; i < plan.handlers; i += 1) {
  const consumer = Consumer.create({
    queueUrl: plan.queue_url,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 20,
    strictReturn: true,
    messageSystemAttributeNames: ["All"],
    messageAttributeNames: ["All"],
    handleMessageBatch: async (messages) => {
      if (plan.takes_ms) await wait(plan.takes_ms);
      return messages;
    },
  });
  consumer.on("error", (error) => {
    throw error;
  });
  consumer.start();
}
