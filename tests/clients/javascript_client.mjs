// Asks a server everything that @huggingface/inference can ask it, and prints the answers as one JSON object.
import {
  chatCompletion,
  chatCompletionStream,
  featureExtraction,
  fillMask,
  questionAnswering,
  sentenceSimilarity,
  summarization,
  textClassification,
  textGeneration,
  textGenerationStream,
  tokenClassification,
  translation,
  zeroShotClassification,
} from "@huggingface/inference";

const [url, text] = process.argv.slice(2);
const at = (name) => ({ endpointUrl: `${url}/models/${name}` });
const short = { max_new_tokens: 5, do_sample: false };
const chat = { messages: [{ role: "user", content: "What is this?" }], max_tokens: 5, temperature: 0 };

async function joined(stream, piece) {
  let whole = "";
  for await (const chunk of stream) {
    whole += piece(chunk.choices[0]) ?? "";
  }
  return whole;
}

const answers = {
  textClassification: await textClassification({ ...at("classifier"), inputs: text }),
  tokenClassification: await tokenClassification({ ...at("entities"), inputs: text }),
  questionAnswering: await questionAnswering({
    ...at("answers"),
    inputs: { question: "what is it?", context: text },
  }),
  fillMask: await fillMask({ ...at("masks"), inputs: "an editor for [MASK]." }),
  featureExtraction: await featureExtraction({ ...at("sentences"), inputs: text }),
  sentenceSimilarity: await sentenceSimilarity({
    ...at("sentences"),
    inputs: { source_sentence: text, sentences: [text, "net"] },
  }),
  zeroShotClassification: await zeroShotClassification({
    ...at("labels"),
    inputs: text,
    parameters: { candidate_labels: ["software", "music"] },
  }),
  summarization: await summarization({ ...at("summarizer"), inputs: text, parameters: { max_new_tokens: 4 } }),
  translation: await translation({ ...at("translator"), inputs: text, parameters: { max_new_tokens: 4 } }),
  textGeneration: await textGeneration({ ...at("writer"), inputs: text, parameters: short }),
  textGenerationStream: await joined(
    textGenerationStream({ ...at("writer"), inputs: text, parameters: short }),
    (choice) => choice.text,
  ),
  chatCompletion: await chatCompletion({ ...at("writer"), ...chat }),
  chatCompletionStream: await joined(
    chatCompletionStream({ ...at("writer"), ...chat }),
    (choice) => choice.delta.content,
  ),
  refusal: await textClassification({ ...at("classifier"), inputs: text, parameters: { top_k: 0 } }).then(
    () => "no refusal",
    (error) => `${error.message} ${JSON.stringify(error.httpResponse?.body)}`,
  ),
};
console.log(JSON.stringify(answers));
